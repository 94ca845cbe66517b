//! How the accounts at forges stand: what is left of their budgets, and what waits for it.

use super::error::ApiError;
use super::extract::State;
use super::paging::Listing;
use super::views::ForgeView;
use crate::store::Stats;
use actix_web::{get, web};

/// Lists the accounts at forges that are in use, with their rate budgets and the repositories that share each. No secret is shown.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The accounts.", body = Listing<ForgeView>)))]
#[get("/forges")]
pub(super) async fn list_forges(state: State) -> Result<web::Json<Listing<ForgeView>>, ApiError> {
    let stats = state.store_stats().await?;
    Ok(web::Json(Listing::whole(with_backlog(state.parts.operations.forges(), &stats))))
}

/// The same with what waits for each repository.
pub(super) fn with_backlog(mut forges: Vec<ForgeView>, stats: &Stats) -> Vec<ForgeView> {
    for repository in forges.iter_mut().flat_map(|forge| &mut forge.repositories) {
        repository.queued_tasks = stats.backlog.get(repository.name.as_str()).copied().unwrap_or(0);
    }
    forges
}

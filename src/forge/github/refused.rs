//! Why git was refused at a repository, as far as GitHub's API tells: archived, renamed, or nothing to be written by us.
//! One call where the repository has the name we know. What it does not tell is left to git's own error.
//! <https://docs.github.com/en/rest/repos/repos?apiVersion=2022-11-28#get-a-repository>

use super::GitHub;
use super::account::Access;
use super::client::Place;
use super::wire::WireRepository;
use crate::forge::ForgeError;

impl GitHub {
    pub(super) async fn refused(&self) -> Result<(), ForgeError> {
        let forge = self.client.forge().to_owned();
        let found: WireRepository = match self.client.get(&|at: &Place| format!("/repos/{at}")).await {
            // The token is not taken here either, or there is none: git waits for a better one.
            Err(ForgeError::Unauthorised { .. } | ForgeError::Setup { .. }) => return Ok(()),
            found => found?,
        };
        if found.archived {
            return Err(ForgeError::Archived { forge });
        }
        // What GitHub says of an App here is not the App's: its token tells.
        let who = match self.client.access().await? {
            Access::Token(..) => found.permissions.is_some_and(|may| !may.push).then(|| "this token".to_owned()),
            Access::Installation(app, installation) => app.writes_nothing(&installation).await.then(|| app.title()),
        };
        if let Some(who) = who {
            return Err(ForgeError::ReadOnly { forge, who });
        }
        if !found.full_name.eq_ignore_ascii_case(&self.client.repository.configured) {
            return Err(ForgeError::Renamed { forge, now: found.full_name });
        }
        Ok(())
    }
}

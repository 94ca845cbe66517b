//! The reference for ingest: a bare actix route that reads the same body and answers 202. It checks nothing and keeps nothing.

use actix_web::{App, HttpResponse, HttpServer, web};

async fn take(body: web::Bytes) -> HttpResponse {
    // The length keeps the body from being optimised away, and makes an answer as long as ours.
    HttpResponse::Accepted().content_type("application/json").body(format!("{{\"id\":\"{:026}\",\"status\":\"accepted\"}}", body.len()))
}

/// Serves on a port of the loopback until it is killed.
pub fn serve(port: u16, workers: usize) -> anyhow::Result<()> {
    let app = || App::new().app_data(web::PayloadConfig::new(1024 * 1024)).route("/{any:.*}", web::to(take));
    let server = HttpServer::new(app).workers(workers).disable_signals().bind(("127.0.0.1", port))?.run();
    actix_web::rt::System::new().block_on(server)?;
    Ok(())
}

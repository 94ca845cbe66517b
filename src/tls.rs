//! The one TLS implementation of the process.

/// Makes aws-lc-rs the process's TLS provider. Called before anything speaks TLS; a second call does nothing.
pub fn install_provider() {
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

//! The certificate authorities that the certificates of GitHub and of the CDN are checked against.

use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// A client that trusts the system's authorities. A machine may have none, such as a bare
/// container: the client then trusts Mozilla's, which are in the program, unless a setting names
/// others.
pub(crate) fn client_builder() -> ClientBuilder {
    let is_set = |name: &&str| std::env::var_os(name).is_some();
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(is_set) || Client::builder().build().is_ok() {
        return Client::builder();
    }
    warn!("the system has no certificate authorities; certificates are checked against Mozilla's");
    trusting_mozilla()
}

fn trusting_mozilla() -> ClientBuilder {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Client::builder().tls_backend_preconfigured(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_is_built_when_it_trusts_mozilla_s_authorities() {
        // Another test of the process may have set TLS up.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // reqwest refuses the configuration of another version of rustls than its own.
        trusting_mozilla().build().expect("a client");
        assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 100, "Mozilla has some 140 authorities");
    }
}

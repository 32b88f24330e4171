//! Certificates of a test's own: an authority, and what it signs.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority that nobody else knows. Its files are gone with the value.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes an authority.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is a valid list of names");
        let name = format!("authority {:x} of a test", fastrand::u64(..));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        write(directory.path().join("authority.pem"), &certificate.pem());
        Self { issuer: Issuer::new(params, key), directory }
    }

    /// Its own certificate, for those who shall trust it.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// Signs a certificate for `127.0.0.1` and `localhost`.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_for(name, &["localhost", "127.0.0.1"])
    }

    /// Signs a certificate for those names.
    pub fn issue_for(&self, name: &str, names: &[&str]) -> Pair {
        self.sign(name, &params(name, names))
    }

    /// Signs a certificate for `127.0.0.1` that is no longer valid.
    pub fn issue_expired(&self, name: &str) -> Pair {
        let mut params = params(name, &["127.0.0.1"]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(name, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        let file = |end: &str, text: &str| write(self.directory.path().join(format!("{name}{end}")), text);
        Pair { certificate: file(".pem", &certificate.pem()), key: file(".key", &key.serialize_pem()) }
    }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).expect("a file can be written");
    path
}

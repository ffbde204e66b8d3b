//! The migrations, which have the same version numbers on both databases.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration's version, name and statements.
pub(super) type MigrationText = (i64, &'static str, &'static str);

/// Makes the migrator by hand: sqlx's `migrate!` would need its macros, and with them a second copy
/// of the TLS library for the build.
pub(super) fn migrator(migrations: &[MigrationText]) -> Migrator {
    let migration = |&(version, name, sql): &MigrationText| {
        let name = Cow::Borrowed(name);
        Migration::new(version, name, MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    // During a rolling upgrade, replicas of this release meet the schema of the next one.
    migrator.set_ignore_missing(true);
    migrator
}

/// The newest version among them.
pub(super) fn newest(migrations: &[MigrationText]) -> Option<i64> {
    migrations.last().map(|(version, ..)| *version)
}

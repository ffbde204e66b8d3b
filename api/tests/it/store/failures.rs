//! Writes that fail, at each of their steps: the next one succeeds once the database can.

use std::future::poll_fn;
use std::task::Poll;

use api::model::topic::{Coverage, Origin};
use api::store::{Share, SharedStore, StoreError};
use futures_util::FutureExt;

use super::{at, begin, repository, store_page, topic};
use crate::databases::{self, Database};

/// Statements that make writes fail at one of their steps, and those that mend it. Each returns a
/// text, or none.
struct Fault {
    break_it: &'static [&'static str],
    mend_it: &'static [&'static str],
}

/// SQLite rolls the transaction back itself, as it does when the disk is full.
const SQLITE_STATEMENT: Fault = Fault {
    break_it: &["CREATE TRIGGER full BEFORE INSERT ON repositories BEGIN
         SELECT RAISE(ROLLBACK, 'database or disk is full'); END"],
    mend_it: &["DROP TRIGGER full"],
};

const SQLITE_COMMIT: Fault = Fault {
    break_it: &[
        "CREATE TABLE late (id INTEGER REFERENCES repositories (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER late AFTER INSERT ON repositories BEGIN INSERT INTO late VALUES (-1); END",
    ],
    mend_it: &["DROP TRIGGER late"],
};

const POSTGRES_STATEMENT: Fault = Fault {
    break_it: &["ALTER TABLE repositories ADD CONSTRAINT broken CHECK (id < 0)"],
    mend_it: &["ALTER TABLE repositories DROP CONSTRAINT broken"],
};

/// The server ends the session in mid-transaction.
const POSTGRES_SESSION: Fault = Fault {
    break_it: &[
        "CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'",
        "CREATE TRIGGER kill BEFORE INSERT ON repositories
         FOR EACH ROW EXECUTE FUNCTION kill()",
    ],
    mend_it: &["DROP TRIGGER kill ON repositories"],
};

const POSTGRES_COMMIT: Fault = Fault {
    break_it: &[
        "CREATE TABLE late (id BIGINT REFERENCES repositories (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN INSERT INTO late VALUES (-1); RETURN NEW; END'",
        "CREATE TRIGGER late AFTER INSERT ON repositories
         FOR EACH ROW EXECUTE FUNCTION late()",
    ],
    mend_it: &["DROP TRIGGER late ON repositories"],
};

async fn run(database: &Database, statements: &[&str]) {
    for statement in statements {
        database.query(statement).await;
    }
}

/// Fails five writes, and more than there are connections of a drop in mid-write.
async fn check_writes_after(database: Database, fault: Fault) {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let lease = begin(&*store, "kubernetes", at(0)).await;
    assert_eq!(store.failing_writes(), None);

    run(&database, fault.break_it).await;
    let page = [repository(1, 10)];
    let page = api::store::Page { repositories: &page, unreadable: &[], coverage: Coverage::Top };
    for failures in 1..=5 {
        let (report, topic) = (api::model::run::Report::default(), topic("kubernetes"));
        let stored = store.store_page(&lease, &topic, &page, &report, at(1)).await;
        assert!(matches!(stored, Err(StoreError::Database(_))), "{stored:?}");
        let failing = store.failing_writes().expect("the last write failed");
        assert_eq!(failing.failures, failures, "{failing:?}");
        let public = store.share(Share::Public);
        assert_eq!(public.topics().await.expect("reads go on").len(), 1);
    }
    run(&database, fault.mend_it).await;
    assert_eq!(store_page(&*store, &lease, &[repository(1, 10)], at(2)).await, (1, 0, 0));
    assert_eq!(store.failing_writes(), None);
    store.close().await;
}

#[tokio::test]
async fn sqlite_write_succeeds_after_statements_failed() {
    check_writes_after(databases::sqlite(), SQLITE_STATEMENT).await;
}

#[tokio::test]
async fn sqlite_write_succeeds_after_commits_failed() {
    check_writes_after(databases::sqlite(), SQLITE_COMMIT).await;
}

#[tokio::test]
async fn postgres_write_succeeds_after_statements_failed() {
    let Some(database) = databases::postgres() else { return };
    check_writes_after(database, POSTGRES_STATEMENT).await;
}

#[tokio::test]
async fn postgres_write_succeeds_after_sessions_ended() {
    let Some(database) = databases::postgres() else { return };
    check_writes_after(database, POSTGRES_SESSION).await;
}

#[tokio::test]
async fn postgres_write_succeeds_after_commits_failed() {
    let Some(database) = databases::postgres() else { return };
    check_writes_after(database, POSTGRES_COMMIT).await;
}

/// A process whose write failed may not write again for hours.
async fn check_trial_write(database: Database, fault: Fault) {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    run(&database, fault.break_it).await;
    for failures in 1..=3 {
        store.try_write(at(1)).await.expect_err("no write succeeds");
        let failing = store.failing_writes().expect("the last write failed");
        assert_eq!(failing.failures, failures, "{failing:?}");
    }
    run(&database, fault.mend_it).await;
    store.try_write(at(2)).await.expect("the database takes writes again");
    assert_eq!(store.failing_writes(), None);
    assert_eq!(store.refreshes(10).await.expect("a ledger"), [], "the row was taken back");
    store.close().await;
}

#[tokio::test]
async fn sqlite_failing_writes_end_when_a_trial_write_succeeds() {
    let ledger = Fault {
        break_it: &["CREATE TRIGGER full BEFORE INSERT ON refreshes BEGIN
             SELECT RAISE(ROLLBACK, 'database or disk is full'); END"],
        mend_it: &["DROP TRIGGER full"],
    };
    check_trial_write(databases::sqlite(), ledger).await;
}

#[tokio::test]
async fn postgres_failing_writes_end_when_a_trial_write_succeeds() {
    let Some(database) = databases::postgres() else { return };
    let ledger = Fault {
        break_it: &["ALTER TABLE refreshes ADD CONSTRAINT broken CHECK (id < 0)"],
        mend_it: &["ALTER TABLE refreshes DROP CONSTRAINT broken"],
    };
    check_trial_write(database, ledger).await;
}

/// A caller may leave at any step of a write.
async fn write_succeeds_after_writes_were_dropped(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let lease = begin(&*store, "kubernetes", at(0)).await;
    for steps in 0..40 {
        let mut renewal = Box::pin(store.renew(&lease, at(1)));
        let mut left = steps;
        // Each step ends with an answer of the database.
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            renewal.as_mut().poll(context).map(drop)
        })
        .await;
        drop(renewal);
        let renewed = store.renew(&lease, at(2)).await;
        renewed.unwrap_or_else(|error| panic!("the write after {steps} steps: {error}"));
    }
    assert_eq!(store.failing_writes(), None);
}

/// Readers of one kind cannot take the connections of another, and are refused rather than queued.
async fn refreshes_go_on_while_readers_take_every_connection_of_theirs(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let public = store.share(Share::Public);
    let readers = (0..400).map(|_| public.topics());
    let reading = futures_util::future::join_all(readers);
    let refreshing = async {
        for second in 0..5 {
            let lease = begin(&*store, "kubernetes", at(second)).await;
            store_page(&*store, &lease, &[repository(second, 1)], at(second)).await;
            super::finish(&*store, &lease, None, api::store::Scope::All, at(second)).await;
            assert_eq!(store.share(Share::Lists).topics().await.expect("a list's read").len(), 1);
        }
    };
    let (results, ()) = tokio::join!(reading, refreshing);
    for result in results {
        assert!(matches!(result, Ok(_) | Err(StoreError::Busy)), "{result:?}");
    }
    assert!(public.topics().await.is_ok());
}

async fn readers_are_refused_at_once_when_as_many_wait_as_allowed(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    // More than end at once on a busy machine.
    const READS: usize = 2_000;
    for (share, allowed) in [(Share::Lists, 256), (Share::Public, 40)] {
        let readers = store.share(share);
        let (mut refused, mut ended) = (0, 0);
        let mut reads: Vec<_> = (0..READS).map(|_| readers.topics()).collect();
        reads.retain_mut(|read| match read.now_or_never() {
            None => true,
            Some(Err(StoreError::Busy)) => {
                refused += 1;
                false
            }
            // A read that ends at once makes room for another one.
            Some(answer) => {
                answer.expect("an answer");
                ended += 1;
                false
            }
        });
        assert_eq!(refused, READS - allowed - ended);
        drop(reads);
        assert!(readers.topics().await.is_ok());
    }
}

/// Another file takes the place of the one that is open, or an older copy is written over it.
#[tokio::test]
async fn sqlite_file_that_was_replaced_is_refused_in_one_line() {
    for overwrites in [false, true] {
        let database = databases::sqlite();
        let store = api::store::open(&database.url()).await.expect("a database");
        store.bootstrap().await.expect("a schema");
        store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
        let lease = begin(&*store, "kubernetes", at(0)).await;
        let setting = database.setting();
        let file = setting.strip_prefix("sqlite:").expect("a file");
        let copy = format!("{file}.copy");
        database.query(&format!("VACUUM INTO '{copy}'")).await;
        store_page(&*store, &lease, &[repository(1, 10)], at(1)).await;

        if overwrites {
            std::fs::copy(&copy, file).expect("a copy");
        } else {
            std::fs::rename(&copy, file).expect("a file");
        }
        let written = store.renew(&lease, at(2)).await;
        assert!(matches!(written, Err(StoreError::Replaced(_))), "{overwrites}: {written:?}");
        let line = written.expect_err("refused").to_string();
        let asks = line.starts_with(file) && line.contains("stop the service, put the file back");
        assert!(asks && !line.contains('\n'), "{overwrites}: {line}");
        if !overwrites {
            assert!(matches!(store.topics().await, Err(StoreError::Replaced(_))));
        }
        store.close().await;
    }
}

contract![
    write_succeeds_after_writes_were_dropped,
    refreshes_go_on_while_readers_take_every_connection_of_theirs,
    readers_are_refused_at_once_when_as_many_wait_as_allowed,
];

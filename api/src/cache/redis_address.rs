//! The servers that REDIS_URL names: one, the master that sentinels watch, or a cluster.

use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult, TlsMode};

const SERVER_PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// The servers that REDIS_URL names.
#[derive(Clone, Debug)]
pub enum RedisAddress {
    Server(ConnectionInfo),
    Sentinels(Sentinels),
    /// Some nodes of a cluster, which name the others.
    Cluster(Vec<ConnectionInfo>),
}

/// Sentinels, and the master that they watch.
#[derive(Clone, Debug)]
pub struct Sentinels {
    addresses: Vec<ConnectionInfo>,
    /// The name that the sentinels know the master and its replicas by.
    master: String,
    /// How to connect to the master, whatever its address.
    server: SentinelNodeConnectionInfo,
}

impl RedisAddress {
    pub const ACCEPTED: &str = "redis://HOST:PORT/0, rediss:// for TLS, \
                                redis+sentinel://HOST:PORT,HOST:PORT/MASTER/0, \
                                redis-cluster://HOST:PORT,HOST:PORT, or unix:PATH";

    /// The address of REDIS_URL; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        match scheme {
            "redis+sentinel" => Sentinels::parse("redis", rest).map(Self::Sentinels),
            "rediss+sentinel" => Sentinels::parse("rediss", rest).map(Self::Sentinels),
            "redis-cluster" => cluster("redis", rest).map(Self::Cluster),
            "rediss-cluster" => cluster("rediss", rest).map(Self::Cluster),
            _ => server(text).map(Self::Server),
        }
    }
}

/// The address of one server.
fn server(text: &str) -> Option<ConnectionInfo> {
    let address = text.into_connection_info().ok()?;
    // Only version 3 of the protocol has pushes.
    let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Some(address.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

/// Reads `USER:PASSWORD@HOST:PORT,HOST:PORT/0`, in which user, password, ports and database may be
/// absent. A cluster has no database but 0.
fn cluster(scheme: &str, text: &str) -> Option<Vec<ConnectionInfo>> {
    let (authority, database) = text.split_once('/').unwrap_or((text, ""));
    if !matches!(database, "" | "0") {
        return None;
    }
    let (user, hosts) = user_and_hosts(authority, SERVER_PORT);
    hosts.iter().map(|host| server(&format!("{scheme}://{user}{host}"))).collect()
}

/// Splits `USER:PASSWORD@HOST:PORT,HOST` into `USER:PASSWORD@`, or nothing, and the hosts with
/// their ports.
fn user_and_hosts(authority: &str, default_port: u16) -> (String, Vec<String>) {
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let with_port = |host: &str| {
        let end = host.rsplit(']').next().unwrap_or(host);
        if end.contains(':') { host.to_owned() } else { format!("{host}:{default_port}") }
    };
    (user, hosts.split(',').map(with_port).collect())
}

impl Sentinels {
    /// Reads `USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DATABASE`, in which user, password, ports
    /// and database may be absent. The user is the master's; sentinels are asked without one.
    fn parse(scheme: &str, text: &str) -> Option<Self> {
        let (authority, path) = text.split_once('/')?;
        let (user, hosts) = user_and_hosts(authority, SENTINEL_PORT);
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return None;
        }
        let address = |host: &String| format!("{scheme}://{host}").into_connection_info().ok();
        let addresses = hosts.iter().map(address).collect::<Option<Vec<_>>>()?;
        let settings = server(&format!("{scheme}://{user}master/{database}"))?;
        let mut server = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(settings.redis_settings().clone())
            .set_tcp_settings(tcp_settings());
        if scheme == "rediss" {
            server = server.set_tls_mode(TlsMode::Secure);
        }
        Some(Self { addresses, master: master.to_owned(), server })
    }

    /// A client of the present master.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let Self { addresses, master, server } = self;
        Sentinel::build(addresses.clone())?.async_master_for(master, Some(server)).await
    }
}

/// Without TCP_NODELAY a small write waits for an acknowledgement.
pub(super) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_sentinels_has_their_hosts_and_the_masters_name() {
        let parse = |text| match RedisAddress::parse(text) {
            Some(RedisAddress::Sentinels(sentinels)) => sentinels,
            other => panic!("{text}: {other:?}"),
        };
        let all = parse("redis+sentinel://mirror:p%40ss@one:26380,two,[::1]/main/3");
        let hosts: Vec<String> =
            all.addresses.iter().map(|address| address.addr().to_string()).collect();
        assert_eq!(hosts, ["one:26380", "two:26379", "::1:26379"]);
        assert_eq!(all.master, "main");
        let server = format!("{:?}", all.server);
        for part in ["Some(\"mirror\")", "db: 3", "RESP3"] {
            assert!(server.contains(part), "{part}: {server}");
        }
        let tls = format!("{:?}", parse("rediss+sentinel://one/main"));
        assert!(tls.contains("Secure") && tls.contains("TcpTls"), "{tls}");
        for text in ["redis+sentinel://one", "redis+sentinel://one/", "redis+sentinel:///main"] {
            assert!(RedisAddress::parse(text).is_none(), "{text}");
        }
        for text in ["http://one", "redis+sentinel://one/main/x", "redis+sentinel://one,/main"] {
            assert!(RedisAddress::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn address_of_a_cluster_has_its_hosts_and_the_user_for_all() {
        let parse = |text| match RedisAddress::parse(text) {
            Some(RedisAddress::Cluster(nodes)) => nodes,
            other => panic!("{text}: {other:?}"),
        };
        let nodes = parse("redis-cluster://mirror:p%40ss@one:7000,two,[::1]");
        let hosts: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(hosts, ["one:7000", "two:6379", "::1:6379"]);
        for node in &nodes {
            let text = format!("{:?}", node.redis_settings());
            assert!(text.contains("Some(\"mirror\")") && text.contains("RESP3"), "{text}");
        }
        let tls = format!("{:?}", parse("rediss-cluster://one,two/0"));
        assert_eq!(tls.matches("TcpTls").count(), 2, "{tls}");
        for text in ["redis-cluster://", "redis-cluster://one,", "redis-cluster://one/1"] {
            assert!(RedisAddress::parse(text).is_none(), "{text}");
        }
    }
}

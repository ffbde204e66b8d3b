//! The servers that REDIS_URL names: one, or the master that sentinels watch.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult, TlsMode};

/// The longest wait for sentinels to name the master, and for the master to confirm that it is one.
const LONGEST_SEARCH: Duration = Duration::from_secs(1);

const SENTINEL_PORT: u16 = 26_379;

/// The servers that REDIS_URL names.
#[derive(Clone, Debug)]
pub enum RedisAddress {
    Server(ConnectionInfo),
    Sentinels(Sentinels),
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
                                redis+sentinel://HOST:PORT,HOST:PORT/MASTER/0, or unix:PATH";

    /// The address of REDIS_URL; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        for (scheme, server) in [("redis+sentinel://", "redis"), ("rediss+sentinel://", "rediss")] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return Sentinels::parse(server, rest).map(Self::Sentinels);
            }
        }
        let address = text.into_connection_info().ok()?;
        // Only version 3 of the protocol has pushes. Without TCP_NODELAY a small write waits for an
        // acknowledgement.
        let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let address = address.set_redis_settings(settings).set_tcp_settings(tcp_settings());
        Some(Self::Server(address))
    }

    /// A client of the server, or of the present master.
    ///
    /// # Errors
    /// When no sentinel answers or knows the master, or when the master does not confirm that it is
    /// one.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match self {
            Self::Server(address) => Client::open(address.clone()),
            Self::Sentinels(Sentinels { addresses, master, server }) => {
                let mut sentinel = Sentinel::build(addresses.clone())?;
                let search = sentinel.async_master_for(master, Some(server));
                match tokio::time::timeout(LONGEST_SEARCH, search).await {
                    Ok(client) => client,
                    Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                }
            }
        }
    }
}

impl Sentinels {
    /// Reads `USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DATABASE`, in which user, password, ports
    /// and database may be absent. The user is the master's; sentinels are asked without one.
    fn parse(scheme: &str, text: &str) -> Option<Self> {
        let (authority, path) = text.split_once('/')?;
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return None;
        }
        let address = |host: &str| {
            let end = host.rsplit(']').next().unwrap_or(host);
            let port = if end.contains(':') { String::new() } else { format!(":{SENTINEL_PORT}") };
            format!("{scheme}://{host}{port}").into_connection_info().ok()
        };
        let addresses = hosts.split(',').map(address).collect::<Option<Vec<_>>>()?;
        let server = format!("{scheme}://{user}master/{database}").into_connection_info().ok()?;
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let mut server = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(settings)
            .set_tcp_settings(tcp_settings());
        if scheme == "rediss" {
            server = server.set_tls_mode(TlsMode::Secure);
        }
        Some(Self { addresses, master: master.to_owned(), server })
    }
}

fn tcp_settings() -> TcpSettings {
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
}

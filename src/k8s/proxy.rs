//! The proxy to the API server when the kubeconfig names none: from the environment, by the rules of Go's
//! `http.ProxyFromEnvironment`, which kubectl uses. kube has other rules: it uses `HTTPS_PROXY` for http,
//! too, and compares `NO_PROXY` with the proxy itself.

use std::net::IpAddr;

use hyper::Uri;

use super::kubeconfig::WHAT;
use crate::error::Problem;

pub(super) struct Proxy {
    /// Its address, without user information.
    pub(super) url: Uri,
    /// The text before the `@`.
    pub(super) userinfo: Option<String>,
    /// Host and port, for messages.
    pub(super) shown: String,
}

impl Proxy {
    pub(super) fn scheme(&self) -> &str {
        self.url.scheme_str().unwrap_or("http")
    }
}

/// A proxy by its address; `origin` is where the address is configured. The address is not repeated in an error: it may hold a
/// password.
pub(super) fn named(text: &str, origin: &str) -> Result<Proxy, Problem> {
    let wrong = |why: &str| {
        Problem::new(WHAT, format!("{origin} {why}"))
            .hint("an address is http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT; special characters of a password are encoded, as in %40")
    };
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    if !["http", "https", "socks5", "socks5h"].contains(&scheme.as_str()) {
        return Err(wrong("is of a kind that is not supported"));
    }
    let (userinfo, place) = match rest.rsplit_once('@') {
        Some((userinfo, place)) => (Some(userinfo.to_owned()), place),
        None => (None, rest),
    };
    let place = place.split('/').next().unwrap_or_default();
    let url: Uri = format!("{scheme}://{place}/").parse().map_err(|_| wrong("is not a valid address"))?;
    let host = url.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
    if url.port_u16().is_none() && url.authority().is_some_and(|it| it.as_str() != host) {
        return Err(wrong("has a port that is not a number from 1 to 65535"));
    }
    let shown = url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Ok(Proxy { url, userinfo, shown })
}

/// The proxy for this address, where one is set. `variable` looks up a variable of the environment.
pub(super) fn proxy(
    server: &Uri,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Problem> {
    let Some((name, value)) = from_environment(server, variable) else { return Ok(None) };
    named(&value, &format!("the proxy in {name}")).map(Some)
}

fn from_environment(
    server: &Uri,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let either = |name: &str| {
        variable(name).or_else(|| variable(&name.to_ascii_lowercase())).filter(|value| !value.is_empty())
    };
    let secure = server.scheme_str() == Some("https");
    let name = if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let named = either(name)?;
    let host = server.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let address: Option<IpAddr> = host.parse().ok();
    let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let spared = either("NO_PROXY").unwrap_or_default();
    if here || spared.split(',').any(|entry| spares(&entry.trim().to_ascii_lowercase(), &host, address, port))
    {
        return None;
    }
    Some((name, named))
}

/// Whether an entry of `NO_PROXY` matches this host: `*`, a network, an address, or a domain with all
/// subdomains; an entry with a leading dot matches subdomains only. A port restricts the match.
fn spares(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return address.is_some_and(|address| within(address, network, bits));
    }
    if let Ok(named) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(named);
    }
    let (name, only) = entry.rsplit_once(':').map_or((entry, None), |(name, only)| (name, Some(only)));
    if only.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    if let Some(domain) = name.strip_prefix('.') {
        return host.strip_suffix(domain).is_some_and(|below| below.ends_with('.') && !domain.is_empty());
    }
    !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|below| below.ends_with('.')))
}

/// Whether an address is in a network with this number of fixed bits.
fn within(address: IpAddr, network: &str, bits: &str) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32),
        IpAddr::V6(six) => (u128::from(six), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let ((one, size), (other, same)) = (number(address), number(network));
    size == same && bits <= size && (one ^ other).checked_shr(128 - bits).unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(server: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let proxy = proxy(&server.parse().expect("an address"), &variable).expect("valid");
        proxy.map(|proxy| proxy.url.to_string())
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let both = [("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "plain:2")];
        assert_eq!(through("https://api.example.com:6443", &both).as_deref(), Some("http://secure:1/"));
        assert_eq!(through("http://api.example.com", &both).as_deref(), Some("http://plain:2/"));
        assert_eq!(through("http://api.example.com", &both[..1]), None);
        assert_eq!(through("https://api.example.com", &[("HTTPS_PROXY", "")]), None);
    }

    #[test]
    fn a_proxys_password_is_in_no_text_whatever_is_in_it() {
        let it = named("http://me:p@ss/w#rd@proxy:3128/", "x").ok();
        let it = it.map(|it| (it.url.to_string(), it.userinfo, it.shown));
        let expected =
            ("http://proxy:3128/".to_owned(), Some("me:p@ss/w#rd".to_owned()), "proxy:3128".to_owned());
        assert_eq!(it, Some(expected));
        for text in
            ["ftp://me:hunter2@p", "http://me:hunter2@", "http://me:hunter2@a b", "http://me:hunter2@p:port"]
        {
            let why =
                named(text, "the proxy in HTTPS_PROXY").err().map(|it| it.to_string()).unwrap_or_default();
            assert!(why.contains("HTTPS_PROXY") && !why.contains("hunter2"), "{text}: {why}");
        }
    }

    #[test]
    fn what_is_here_or_spared_is_reached_directly() {
        for server in ["https://localhost:6443", "https://127.0.0.1:6443", "https://[::1]:6443"] {
            assert_eq!(through(server, &[("HTTPS_PROXY", "http://p")]), None, "{server}");
        }
        let spared = |server: &str, list: &str| {
            through(server, &[("HTTPS_PROXY", "http://p"), ("NO_PROXY", list)]).is_none()
        };
        for (server, list) in [
            ("https://api.example.com:6443", "other, EXAMPLE.com"),
            ("https://api.example.com", ".example.com"),
            ("https://api.example.com", "*.example.com"),
            ("https://api.example.com:6443", "api.example.com:6443"),
            ("https://api.example.com", "*"),
            ("https://10.1.2.3", "10.1.0.0/16"),
            ("https://10.1.2.3", "0.0.0.0/0"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("https://[fd00::1]", "fd00::/8"),
        ] {
            assert!(spared(server, list), "{server} by {list}");
        }
        for (server, list) in [
            ("https://api.example.com", ""),
            ("https://api.example.com", "ample.com,x,,"),
            ("https://example.com", ".example.com"),
            ("https://api.example.com:6443", "api.example.com:443"),
            ("https://10.1.2.3", "10.2.0.0/16,10.1.2.0/33,10.1.2.3.4"),
            ("https://10.1.2.3", "fd00::/8"),
        ] {
            assert!(!spared(server, list), "{server} by {list}");
        }
    }
}

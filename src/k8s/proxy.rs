//! Which proxy leads to the API server when the kubeconfig names none: the environment's, by the rules of Go's
//! `http.ProxyFromEnvironment`, which kubectl goes by. kube has others: it takes `HTTPS_PROXY` for http, too, and holds
//! `NO_PROXY` against the proxy itself.

use std::net::IpAddr;

use hyper::Uri;

/// The proxy for this address, where one is set. `variable` looks up a variable of the environment.
pub(super) fn proxy(server: &Uri, variable: &dyn Fn(&str) -> Option<String>) -> Option<Uri> {
    let either = |name: &str| {
        variable(name).or_else(|| variable(&name.to_ascii_lowercase())).filter(|value| !value.is_empty())
    };
    let secure = server.scheme_str() == Some("https");
    let named = either(if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    let host = server.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let address: Option<IpAddr> = host.parse().ok();
    let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let spared = either("NO_PROXY").unwrap_or_default();
    if here || spared.split(',').any(|entry| spares(&entry.trim().to_ascii_lowercase(), &host, address, port))
    {
        return None;
    }
    let named = if named.contains("://") { named } else { format!("http://{named}") };
    named.parse().ok()
}

/// Whether an entry of `NO_PROXY` is about this host: `*`, a network, an address, or a domain with all below it; one
/// with a dot before it is about those below alone. A port narrows it.
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

/// Whether an address is in a network of so many fixed bits.
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
        proxy(&server.parse().expect("an address"), &variable).map(|uri| uri.to_string())
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

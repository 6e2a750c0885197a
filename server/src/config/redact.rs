//! Keeps passwords out of what is printed.

/// The URL with the passwords of its user part and of its query replaced by `***`.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        None => format!("{scheme}://{}", without_query_passwords(rest)),
        Some((user, hosts)) => {
            let name = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{name}:***@{}", without_query_passwords(hosts))
        }
    }
}

fn without_query_passwords(hosts: &str) -> String {
    let Some((hosts, query)) = hosts.split_once('?') else { return hosts.to_owned() };
    let pairs: Vec<_> = query.split('&').map(without_value_of_password).collect();
    format!("{hosts}?{}", pairs.join("&"))
}

fn without_value_of_password(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn only_the_password_is_taken_out() {
        assert_eq!(without_password("redis://u:p@h:1/2"), "redis://u:***@h:1/2");
        assert_eq!(without_password("redis://:p@ss@h"), "redis://:***@h");
        assert_eq!(without_password("scylla://h1,h2/k"), "scylla://h1,h2/k");
        assert_eq!(without_password("redb"), "redb");
        assert_eq!(
            without_password("redis-sentinel://u:p@h?sentinelPassword=s&node=h2:1"),
            "redis-sentinel://u:***@h?sentinelPassword=***&node=h2:1"
        );
    }
}

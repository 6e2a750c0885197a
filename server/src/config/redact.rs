//! Keeps passwords out of what is printed.

/// The URL with the password of its user part replaced by `***`.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, hosts)) = rest.rsplit_once('@') else { return url.to_owned() };
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    format!("{scheme}://{name}:***@{hosts}")
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
    }
}

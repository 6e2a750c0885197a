//! Keeps passwords out of what is printed.

/// The URL with the passwords of its user part and of its query replaced by `***`; what is no URL, because it
/// was mistyped, as well.
pub(crate) fn without_password(url: &str) -> String {
    let (start, rest) = url.split_at(url.find("://").map_or(0, |scheme| scheme + 3));
    // An @ of a password in the query ends no user part.
    let rest = without_query_passwords(rest);
    match rest.rsplit_once('@') {
        None => format!("{start}{rest}"),
        Some((user, hosts)) => {
            let name = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{start}{name}:***@{hosts}")
        }
    }
}

/// A sentence with the passwords of the URLs in it replaced by `***`.
pub(crate) fn without_passwords(sentence: &str) -> String {
    let is_end = |letter: char| letter.is_whitespace() || "\"'`".contains(letter);
    let words =
        sentence.split_inclusive(is_end).map(|word| word.split_at(word.trim_end_matches(is_end).len()));
    words.map(|(word, end)| without_password(word) + end).collect()
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
    use super::*;

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
        for url in [
            "redis-sentinel://h?sentinelPassword=SE@CRET",
            "redis-sentinel://h/1?node=a&sentinelPassword=SE@CRET",
        ] {
            let shown = without_password(url);
            assert!(!shown.contains("SE") && !shown.contains("CRET"), "{shown}");
        }
    }

    #[test]
    fn the_password_of_a_mistyped_url_is_taken_out_too() {
        assert_eq!(without_password("scyla://u:p@h/k"), "scyla://u:***@h/k");
        assert_eq!(without_password("u:p@h/k"), "u:***@h/k");
        assert_eq!(without_password("scylla:/u:p@h/k"), "scylla:***@h/k");
        assert_eq!(without_password("/data/movies"), "/data/movies");
    }

    #[test]
    fn a_sentence_keeps_all_but_its_passwords() {
        let sentence = "not \"redis://u:p@h/1\", nor `a` and b:c";
        assert_eq!(without_passwords(sentence), "not \"redis://u:***@h/1\", nor `a` and b:c");
        assert_eq!(without_passwords("no redis://h?password=SECRET here"), "no redis://h?password=*** here");
    }
}

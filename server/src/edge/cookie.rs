//! The cookie by which a browser says who has signed in.
//!
//! A browser sends a cookie along with whatever any page asks for, so it says nothing of who wants it. It counts for pages
//! of the server's own host alone: those that the browser says to be so, by two headers that no page can choose. Where it
//! says neither, the cookie counts for what changes nothing.

use http::Method;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN};

/// Its name.
const NAME: &str = "marquee_session";

/// What a browser says of whose page asks, in words.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The session of a cookie that counts, in the extensions of a request.
#[derive(Clone)]
pub(crate) struct SessionCookie(pub(crate) String);

impl SessionCookie {
    /// The cookie of a request; `is_own` says whether an `Origin` is the server's own host.
    pub(super) fn of(method: &Method, headers: &HeaderMap, is_own: impl Fn(&str) -> bool) -> Option<Self> {
        let token = value(headers)?;
        counts(method, headers, is_own).then(|| Self(token.to_owned()))
    }
}

/// Whether a cookie counts.
fn counts(method: &Method, headers: &HeaderMap, is_own: impl Fn(&str) -> bool) -> bool {
    let changes_nothing = matches!(*method, Method::GET | Method::HEAD);
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    let mut sites = headers.get_all(FETCH_SITE).iter().peekable();
    let is_said = origins.peek().is_some() || sites.peek().is_some();
    let is_own = origins.all(|origin| origin.to_str().is_ok_and(&is_own));
    // What a person opens themselves is no page's.
    let is_same = sites.all(|site| site == "same-origin" || (site == "none" && changes_nothing));
    is_own && is_same && (is_said || changes_nothing)
}

/// What the cookie says; `None` where there is none, or more than one.
fn value(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == NAME).map(|(_, value)| value);
    let value = found.next()?;
    found.next().is_none().then_some(value)
}

/// What lets a browser keep a session for so many seconds; over TLS alone where it was given over TLS.
pub(super) fn set(token: &str, seconds: i64, is_encrypted: bool) -> Option<HeaderValue> {
    let secure = if is_encrypted { "; Secure" } else { "" };
    let text = format!("{NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn session(method: &Method, of: &[(&'static str, &str)]) -> Option<String> {
        let of = [&[("cookie", "a=b; marquee_session=it")], of].concat();
        SessionCookie::of(method, &headers(&of), |origin| origin == "https://own").map(|it| it.0)
    }

    #[test]
    fn a_cookie_counts_for_own_pages_alone() {
        for (method, of, counts) in [
            (Method::POST, &[("origin", "https://own")][..], true),
            (Method::POST, &[("sec-fetch-site", "same-origin")], true),
            (Method::POST, &[("origin", "https://own"), ("sec-fetch-site", "same-origin")], true),
            (Method::GET, &[], true),
            (Method::GET, &[("sec-fetch-site", "none")], true),
            (Method::POST, &[], false),
            (Method::POST, &[("sec-fetch-site", "none")], false),
            (Method::POST, &[("origin", "https://evil")], false),
            (Method::POST, &[("origin", "null")], false),
            (Method::POST, &[("origin", "https://evil"), ("sec-fetch-site", "same-origin")], false),
            (Method::POST, &[("origin", "https://own"), ("sec-fetch-site", "cross-site")], false),
            (Method::GET, &[("sec-fetch-site", "cross-site")], false),
            (Method::GET, &[("sec-fetch-site", "same-site")], false),
            (Method::DELETE, &[("sec-fetch-site", "same-site")], false),
        ] {
            assert_eq!(session(&method, of).is_some(), counts, "{method} {of:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_two_are_none() {
        let value = |line: &str| value(&headers(&[("cookie", line)])).map(str::to_owned);
        assert_eq!(value("marquee_session=it").as_deref(), Some("it"));
        assert_eq!(value("a=b;marquee_session=it; c=d").as_deref(), Some("it"));
        for none in ["", "a=b", "marquee_session", "Marquee_Session=it", "xmarquee_session=it"] {
            assert_eq!(value(none), None, "{none:?}");
        }
        assert_eq!(value("marquee_session=one; marquee_session=other"), None);
    }

    #[test]
    fn a_session_is_kept_where_no_script_reads_it() {
        let plain = set("it", 60, false).unwrap();
        assert_eq!(plain, "marquee_session=it; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert!(set("it", 60, true).unwrap().to_str().unwrap().ends_with("; Secure"));
        assert_eq!(format!("{plain:?}"), "Sensitive");
        assert!(set("a\nb", 60, true).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_line_has_a_cookie_that_stands_in_it_or_none(line in "(a=b; ?)?(marquee_session=?)?[ -~]{0,40}") {
            if let Some(found) = value(&headers(&[("cookie", &line)])) {
                proptest::prop_assert!(line.contains(&format!("{NAME}={found}")), "{}", found);
                proptest::prop_assert!(!found.contains(';'));
            }
        }
    }
}

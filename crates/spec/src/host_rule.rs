//! One entry of a network allow-list: `--allow-host HOST[:PORT]`.
//!
//! Owns the spelling of rules, what counts as a host name, and whether a rule
//! covers a host. Refuses to know how names are resolved, or which addresses are
//! dangerous: that is the door's business.
//!
//! | rule               | covers                                              |
//! |--------------------|-----------------------------------------------------|
//! | `example.org`      | that name, on any port                              |
//! | `example.org:443`  | that name, on that port                             |
//! | `*.example.org`    | every name below it, at any depth, not itself       |
//! | `*`                | every name                                          |
//! | `10.1.2.3`         | that address, even if it is private or loopback     |
//! | `[fd00::1]:8080`   | the same for IPv6                                   |
//!
//! Without a port, any port: a rule says whom the guest may talk to, and a host
//! that is trusted on 443 is rarely distrusted on 8443 or 22. Guessing "the web
//! ports" would break registries and git over ssh, and protect nothing, because
//! private addresses stay refused unless an address rule names them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name in DNS is at most this many bytes (RFC 1035, without the final dot).
const NAME_BYTES: usize = 253;
/// A label in DNS is at most this many bytes (RFC 1035).
const LABEL_BYTES: usize = 63;

/// One host, or family of hosts, that a guest may talk to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostRule {
    pattern: Pattern,
    port: Option<NonZeroU16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    Any,
    /// Canonical, as `canonical_name` returns it.
    Name(String),
    /// Canonical, without the leading `*.`.
    Below(String),
    Address(IpAddr),
}

impl HostRule {
    /// Whether a guest that asks for `host` by this text is covered. `host` is a
    /// canonical name or the text of an address; `*` covers both, since whoever
    /// may use any name can find one for any public address. A private address
    /// is a second question: see [`HostRule::names_address`].
    #[must_use]
    pub fn matches_name(&self, host: &str, port: u16) -> bool {
        self.covers_port(port)
            && match &self.pattern {
                Pattern::Any => true,
                Pattern::Name(name) => name.eq_ignore_ascii_case(host),
                Pattern::Below(parent) => is_below(host, parent),
                Pattern::Address(address) => host.parse() == Ok(*address),
            }
    }

    /// Whether this rule spells out `address` itself. Only that lifts the
    /// refusal of private, loopback and other special addresses. A name rule
    /// never does: whoever controls the name controls what it resolves to.
    #[must_use]
    pub fn names_address(&self, address: IpAddr, port: u16) -> bool {
        self.covers_port(port) && self.address() == Some(address)
    }

    /// The address, if the rule is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.pattern {
            Pattern::Address(address) => Some(address),
            _ => None,
        }
    }

    fn covers_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own.get() == port)
    }
}

fn is_below(host: &str, parent: &str) -> bool {
    let Some(cut) = host.len().checked_sub(parent.len() + 1) else {
        return false;
    };
    // As bytes: a guest's text may have a character across the cut.
    let (label, rest) = host.as_bytes().split_at(cut);
    !label.is_empty() && rest[0] == b'.' && rest[1..].eq_ignore_ascii_case(parent.as_bytes())
}

/// Brings a host name to the one form that rules are compared in: lower case,
/// without the final dot.
///
/// # Errors
/// The text is not a name that DNS can hold, or is one that some resolver reads
/// as an address (`127.1`, `0x7f000001`, `2130706433`): a name that ends in a
/// number is never a name (WHATWG URL, "ends in a number checker").
pub fn canonical_name(text: &str) -> Result<String, HostProblem> {
    if !text.is_ascii() {
        return Err(HostProblem::NotAscii);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > NAME_BYTES {
        return Err(HostProblem::TooLong);
    }
    for label in name.split('.') {
        check_label(label)?;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if looks_like_a_number(last) {
        return Err(HostProblem::OddAddress);
    }
    Ok(name.to_ascii_lowercase())
}

fn check_label(label: &str) -> Result<(), HostProblem> {
    if label.is_empty() {
        return Err(HostProblem::EmptyLabel);
    }
    if label.len() > LABEL_BYTES {
        return Err(HostProblem::TooLong);
    }
    if label.contains('*') {
        return Err(HostProblem::WildcardInside);
    }
    // An underscore is not a host name's letter by RFC 952, yet it is in use.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(is_letter) || label.starts_with('-') || label.ends_with('-') {
        return Err(HostProblem::NotAName);
    }
    Ok(())
}

fn looks_like_a_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match digits {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl FromStr for HostRule {
    type Err = HostRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| HostRuleError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<HostRule, HostProblem> {
    refuse_urls(text)?;
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        // Bare, as `ip addr` prints it: no port can follow, so it is clear.
        let pattern = Pattern::Address(address.into());
        return Ok(HostRule { pattern, port: None });
    }
    let (host, port) = split_port(text)?;
    let pattern = if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(HostProblem::OddAddress)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| HostProblem::OddAddress)?;
        Pattern::Address(address.into())
    } else if let Ok(address) = host.parse::<Ipv4Addr>() {
        Pattern::Address(address.into())
    } else if host == "*" {
        Pattern::Any
    } else if let Some(parent) = host.strip_prefix("*.") {
        Pattern::Below(canonical_name(parent)?)
    } else {
        Pattern::Name(canonical_name(host)?)
    };
    Ok(HostRule { pattern, port })
}

/// Told apart from other bad text because people paste URLs, and deserve to
/// hear which part is too much.
fn refuse_urls(text: &str) -> Result<(), HostProblem> {
    if text.is_empty() {
        return Err(HostProblem::Empty);
    }
    if text.contains("://") {
        return Err(HostProblem::Scheme);
    }
    if text.contains('@') {
        return Err(HostProblem::UserInfo);
    }
    if text.contains(['/', '?', '#', '\\']) {
        return Err(HostProblem::Path);
    }
    Ok(())
}

fn split_port(text: &str) -> Result<(&str, Option<NonZeroU16>), HostProblem> {
    if text.starts_with('[') && !text.contains(']') {
        return Err(HostProblem::OddAddress);
    }
    let end_of_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = text[end_of_host..].find(':').map(|at| at + end_of_host) else {
        return Ok((text, None));
    };
    let port = canonical_port(&text[colon + 1..])?;
    Ok((&text[..colon], Some(port)))
}

/// Reads a port: digits only, 1 to 65535. Rust's own parser would take `+80`.
///
/// # Errors
/// Anything else.
pub fn canonical_port(text: &str) -> Result<NonZeroU16, HostProblem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostProblem::Port);
    }
    text.parse().map_err(|_| HostProblem::Port)
}

impl fmt::Display for HostRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Any => out.write_str("*")?,
            Pattern::Name(name) => out.write_str(name)?,
            Pattern::Below(parent) => write!(out, "*.{parent}")?,
            Pattern::Address(IpAddr::V4(address)) => write!(out, "{address}")?,
            Pattern::Address(IpAddr::V6(address)) => write!(out, "[{address}]")?,
        }
        match self.port {
            Some(port) => write!(out, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Serialize for HostRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a [`HostRule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRuleError {
    /// What was given, unchanged.
    pub text: String,
    /// What is wrong with it.
    pub problem: HostProblem,
}

/// What is wrong with a host, a port, or the text round them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostProblem {
    /// Nothing there.
    Empty,
    /// A URL's `https://`.
    Scheme,
    /// A URL's `user@`.
    UserInfo,
    /// A path, query or fragment.
    Path,
    /// Not a number from 1 to 65535.
    Port,
    /// Letters that need punycode.
    NotAscii,
    /// Two dots in a row, or one in front.
    EmptyLabel,
    /// More than DNS can hold.
    TooLong,
    /// A `*` that is not the whole first label.
    WildcardInside,
    /// What some resolver reads as an address, and others do not.
    OddAddress,
    /// A character or hyphen where a name has none.
    NotAName,
}

impl fmt::Display for HostRuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug of a string: quotes, and escapes for control characters.
        write!(out, "host rule {:?} {}", self.text, self.problem)
    }
}

impl fmt::Display for HostProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Empty => "is empty; hint: example.org, *.example.org, example.org:443 or 10.1.2.3",
            Self::Scheme => "has a scheme; hint: give the host alone, example.org or example.org:443",
            Self::UserInfo => "has a user name; hint: give the host alone, example.org",
            Self::Path => "has a path; hint: rules name hosts, not pages: example.org",
            Self::Port => {
                "has a bad port; hint: 1 to 65535 after the last colon, IPv6 in brackets: [fd00::1]:443"
            }
            Self::NotAscii => {
                "has letters outside ASCII; hint: use the punycode form, such as xn--bcher-kva.example"
            }
            Self::EmptyLabel => "has an empty label; hint: look for two dots in a row or a dot in front",
            Self::TooLong => "is too long; hint: 253 characters, and 63 between two dots",
            Self::WildcardInside => {
                "has a wild card in the middle; hint: only * alone, or *. in front: *.example.org"
            }
            Self::OddAddress => {
                "is not a plain address; hint: four decimal numbers, 10.1.2.3, or IPv6 in brackets, [fd00::1]"
            }
            Self::NotAName => "is not a host name; hint: letters, digits, hyphens and dots",
        })
    }
}

impl std::error::Error for HostRuleError {}
impl std::error::Error for HostProblem {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> HostRule {
        text.parse().unwrap()
    }

    #[test]
    fn accepted_forms_and_what_they_print() {
        for (text, printed) in [
            ("example.org", "example.org"),
            ("Example.ORG.", "example.org"),
            ("example.org:443", "example.org:443"),
            ("*.Example.org:8443", "*.example.org:8443"),
            ("*", "*"),
            ("*:443", "*:443"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[FD00::1]:8080", "[fd00::1]:8080"),
            ("[fd00::1]", "[fd00::1]"),
            ("fd00::1", "[fd00::1]"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(rule(text).to_string(), printed);
        }
    }

    #[test]
    fn refused_forms_and_why() {
        use HostProblem::*;
        let long_label = format!("{}.org", "a".repeat(64));
        let long_name = ["abcdefg"; 32].join(".");
        for (text, problem) in [
            ("", Empty),
            ("https://example.org", Scheme),
            ("user@example.org", UserInfo),
            ("example.org/simple", Path),
            ("example.org?x", Path),
            ("example.org:0", Port),
            ("example.org:65536", Port),
            ("example.org:", Port),
            ("example.org:+80", Port),
            ("example.org:80:90", Port),
            ("[fd00::1]:x", Port),
            ("bücher.example", NotAscii),
            ("example..org", EmptyLabel),
            (".example.org", EmptyLabel),
            (".", EmptyLabel),
            ("*.", EmptyLabel),
            ("example.org..", EmptyLabel),
            (long_label.as_str(), TooLong),
            (long_name.as_str(), TooLong),
            ("a.*.org", WildcardInside),
            ("*example.org", WildcardInside),
            ("**.org", WildcardInside),
            ("*.*.org", WildcardInside),
            ("127.1", OddAddress),
            ("2130706433", OddAddress),
            ("0x7f000001", OddAddress),
            ("0177.0.0.1", OddAddress),
            ("1.2.3.4.", OddAddress),
            ("1.2.3.256", OddAddress),
            ("example.0x", OddAddress),
            ("[fe80::1%eth0]", OddAddress),
            ("[fd00::1", OddAddress),
            ("[10.1.2.3]", OddAddress),
            ("exa mple.org", NotAName),
            ("-a.org", NotAName),
            ("a-.org", NotAName),
            ("a\n.org", NotAName),
        ] {
            let error = text.parse::<HostRule>().unwrap_err();
            assert_eq!(error.problem, problem, "{text:?}");
            assert_eq!(error.text, text);
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn the_message_names_the_text_and_a_way_out() {
        let error = "https://example.org".parse::<HostRule>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "host rule \"https://example.org\" has a scheme; \
             hint: give the host alone, example.org or example.org:443"
        );
    }

    #[test]
    fn names_are_matched_whole_and_on_their_port() {
        for (text, host, port, expected) in [
            ("example.org", "example.org", 1, true),
            ("example.org", "EXAMPLE.org", 65535, true),
            ("example.org", "a.example.org", 443, false),
            ("example.org", "example.org.evil.net", 443, false),
            ("example.org:443", "example.org", 443, true),
            ("example.org:443", "example.org", 80, false),
            ("*.example.org", "a.example.org", 443, true),
            ("*.example.org", "a.b.example.org", 443, true),
            ("*.example.org", "example.org", 443, false),
            ("*.example.org", ".example.org", 443, false),
            ("*.example.org", "evilexample.org", 443, false),
            ("*.example.org", "ü.example.org", 443, true),
            ("*.example.org", "üexample.org", 443, false),
            ("*", "anything", 9, true),
            ("*:443", "anything", 80, false),
            ("10.1.2.3", "10.1.2.3", 80, true),
            ("10.1.2.3", "10.1.2.4", 80, false),
            ("[fd00::1]", "fd00:0::1", 80, true),
        ] {
            assert_eq!(rule(text).matches_name(host, port), expected, "{text} {host}:{port}");
        }
    }

    #[test]
    fn only_an_address_rule_names_an_address() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(rule("10.1.2.3:80").names_address(address("10.1.2.3"), 80));
        assert!(!rule("10.1.2.3:80").names_address(address("10.1.2.3"), 81));
        assert!(!rule("*").names_address(address("10.1.2.3"), 80));
        assert!(!rule("localhost").names_address(address("127.0.0.1"), 80));
        assert!(!rule("127.0.0.1").names_address(address("::ffff:127.0.0.1"), 80));
    }

    #[test]
    fn json_is_the_text() {
        let rules: Vec<HostRule> = serde_json::from_str(r#"["*.Example.org:443"]"#).unwrap();
        assert_eq!(serde_json::to_string(&rules).unwrap(), r#"["*.example.org:443"]"#);
        assert!(serde_json::from_str::<HostRule>(r#""a b""#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_itself(text in "\\PC{0,40}") {
            if let Ok(rule) = text.parse::<HostRule>() {
                let printed = rule.to_string();
                prop_assert_eq!(printed.parse::<HostRule>().unwrap(), rule);
            }
        }

        #[test]
        fn rule_like_text_prints_itself(text in "(\\*\\.)?[a-zA-Z0-9._*-]{0,12}(:[0-9]{0,6})?") {
            if let Ok(rule) = text.parse::<HostRule>() {
                let printed = rule.to_string();
                prop_assert_eq!(printed.parse::<HostRule>().unwrap(), rule);
            }
        }

        #[test]
        fn a_wild_card_never_covers_its_apex(host in "\\PC{0,30}", port in 1u16..) {
            let below = rule("*.example.org");
            if below.matches_name(&host, port) {
                prop_assert!(host.to_ascii_lowercase().ends_with(".example.org"));
                prop_assert!(host.len() > ".example.org".len());
            }
        }

        #[test]
        fn a_number_at_the_end_is_never_a_name(
            front in "([a-z0-9]{1,5}\\.){0,3}",
            last in "[0-9]{1,10}|0x[0-9a-f]{0,8}",
        ) {
            let text = front + &last;
            prop_assert!(canonical_name(&text).is_err(), "{}", text);
        }
    }
}

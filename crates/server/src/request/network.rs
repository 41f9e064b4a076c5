//! Which network a sandbox has.

use capsule_spec::{ErrorCode, Failure, HostRule, Network};
use serde::{Deserialize, Serialize};

use super::check::{self, Checked};

/// Most hosts of an allow-list.
const MOST_HOSTS: usize = 256;

/// A network policy: `"denied"`, `"open"`, or `{"allow": ["example.org", "*.example.org:443"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NetworkPolicy {
    /// Nothing but a loopback of its own.
    Denied,
    /// The host's network; only where the operator allows it.
    Open,
    /// As denied, with a way out to these hosts: `HOST`, `HOST:PORT`, `*.HOST`, an address.
    Allow(Vec<String>),
}

impl NetworkPolicy {
    /// The policy with its rules read.
    ///
    /// # Errors
    /// Too many rules, or one that is none.
    pub(crate) fn resolve(&self) -> Result<Network, Failure> {
        let rules = match self {
            Self::Denied => return Ok(Network::Denied),
            Self::Open => return Ok(Network::Open),
            Self::Allow(rules) => rules,
        };
        check::range(
            "the number of hosts in network.allow",
            rules.len() as u64,
            0,
            MOST_HOSTS as u64,
        )?;
        let read = rules.iter().map(|rule| rule.parse::<HostRule>().map_err(|error| wrong(&error)));
        let rules: Vec<HostRule> = read.collect::<Result<_, _>>()?;
        Ok(if rules.is_empty() { Network::Denied } else { Network::Hosts(rules) })
    }

    /// What a policy is called on the wire.
    pub(crate) fn of(network: &Network) -> Self {
        match network {
            Network::Denied => Self::Denied,
            Network::Open => Self::Open,
            Network::Hosts(rules) => Self::Allow(rules.iter().map(HostRule::to_string).collect()),
        }
    }
}

fn wrong(error: &capsule_spec::HostRuleError) -> Failure {
    let text = error.to_string();
    let (message, hint) = text.split_once("; hint: ").unwrap_or((&text, ""));
    let failure = Failure::new(ErrorCode::InvalidValue, message).detail("field", "network");
    if hint.is_empty() { failure } else { failure.hint(hint) }
}

/// Another network for a sandbox that lives.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetNetwork {
    /// The sandbox.
    pub id: String,
    /// The new policy; connections of the old one are cut. Whether it is `open` is settled
    /// when the sandbox is made.
    pub network: NetworkPolicy,
}

impl Checked for SetNetwork {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        self.network.resolve().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_told_alike() {
        for (text, told) in [
            (r#""denied""#, r#""denied""#),
            (r#""open""#, r#""open""#),
            (r#"{"allow":[]}"#, r#""denied""#),
            (
                r#"{"allow":["Example.ORG","*.a.b:443","10.1.2.3:80"]}"#,
                r#"{"allow":["example.org","*.a.b:443","10.1.2.3:80"]}"#,
            ),
        ] {
            let policy: NetworkPolicy = serde_json::from_str(text).unwrap();
            let network = policy.resolve().unwrap();
            assert_eq!(serde_json::to_string(&NetworkPolicy::of(&network)).unwrap(), told);
        }
        let many = NetworkPolicy::Allow(vec!["a".to_owned(); MOST_HOSTS + 1]);
        assert_eq!(many.resolve().unwrap_err().code, ErrorCode::InvalidValue);
        for wrong in ["", "http://a", "a/b", "a b", "127.1", "a:0", "a\nb", "-a"] {
            let failure = NetworkPolicy::Allow(vec![wrong.to_owned()]).resolve().unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidValue, "{wrong}");
            assert!(failure.hint.is_some() && !failure.message.contains("hint"), "{failure:?}");
        }
    }
}

//! The variables that an answer sets. HAProxy puts `txn.` and its prefix in front, and ignores those that its configuration does not name.

use super::{frame::Ack, wire::Value};

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Allow,
    /// It does not, and the client is told why.
    Deny,
    /// It is answered with the status and headers alone.
    Answer,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Answer => "answer",
        }
    }
}

fn text(ack: &mut Ack, name: &str, value: &str) {
    ack.set(name, Value::Text(value.as_bytes()));
}

/// What every answer says.
pub(super) fn begin(ack: &mut Ack, outcome: Outcome, id: &str) {
    text(ack, "action", outcome.name());
    text(ack, "id", id);
}

/// Why a request does not go on; `problem`: the body of the answer to the client.
pub(super) fn refusal(ack: &mut Ack, status: u16, reason: &str, problem: &[u8]) {
    ack.set("status", Value::Uint32(status.into()));
    text(ack, "reason", reason);
    ack.set("problem", Value::Text(problem));
}

/// What a request that goes on is to have and not to have: the value of the header that says who asks, and names of the client's headers that stay,
/// between commas.
pub(super) fn leave(ack: &mut Ack, identity: Option<&str>, removed: &[&str]) {
    if let Some(identity) = identity {
        text(ack, "identity", identity);
    }
    text(ack, "remove", &format!(",{},", removed.join(",")));
}

/// Headers of the answer, each in a variable of its own: `header.retry_after`. Several of one name are one list; of cookies, which are none, the last counts.
pub(super) fn headers(ack: &mut Ack, headers: &[(String, String)]) {
    for (number, (name, value)) in headers.iter().enumerate() {
        let named = |from: usize| headers.iter().skip(from).filter(|(other, _)| other == name);
        if named(number + 1).next().is_some() {
            // The last one of its name has all of them.
            continue;
        }
        let values: Vec<&str> = match name.as_str() {
            "set-cookie" => vec![value],
            _ => named(0).map(|(_, value)| value.as_str()).collect(),
        };
        text(ack, &format!("header.{}", name.replace('-', "_")), &values.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Ack)) -> String {
        let mut ack = Ack::new(1, 1);
        fill(&mut ack);
        String::from_utf8_lossy(&ack.finish(4096).unwrap()).into_owned()
    }

    #[test]
    fn headers_of_one_name_are_one_variable() {
        let all = [("www-authenticate", "Bearer"), ("set-cookie", "a=1"), ("www-authenticate", "DPoP")];
        let all = all.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let said = written(|ack| headers(ack, &all));
        assert_eq!(said.matches("header.www_authenticate").count(), 1, "{said}");
        assert!(said.contains("Bearer, DPoP") && said.contains("header.set_cookie"), "{said}");
    }

    #[test]
    fn names_that_stay_stand_between_commas() {
        let said = written(|ack| leave(ack, Some("alice"), &["authorization", "x-key"]));
        assert!(said.contains(",authorization,x-key,") && said.contains("alice"), "{said}");
        assert!(!written(|ack| leave(ack, None, &[])).contains("identity"));
    }
}

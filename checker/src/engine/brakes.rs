//! Guessing slowed: who is tried, from where, and what became of it.

use std::{fmt, net::IpAddr};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization as _;

use super::{Judge, Judged, Limits, rates::sessions};
use crate::{
    Check, Evidence, Finding, Place, Reason, Request,
    content::Content,
    json::Step,
    names::{is_same_entry, is_same_parameter},
    policy::{BrakePolicy, Mode, Named, Whence},
    rates, sensitive,
    target::{self, Target},
    tokens::certificate_thumbprint,
    values,
};

/// An attempt that was let through: what becomes of it, the server behind says.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempted {
    /// Which brake, by its place.
    pub(crate) brake: usize,
    pub(crate) account: Vec<u8>,
    pub(crate) origin: Option<Vec<u8>>,
    /// A hash of it.
    pub(crate) credential: Option<Vec<u8>>,
}

impl fmt::Debug for Attempted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Attempted({})", self.brake)
    }
}

impl Attempted {
    pub(crate) fn attempt(&self) -> rates::Attempt<'_> {
        rates::Attempt {
            account: &self.account,
            origin: self.origin.as_deref(),
            credential: self.credential.as_deref(),
        }
    }
}

/// What was found in the places where a brake looks.
#[derive(Default)]
struct Found {
    values: Vec<String>,
}

impl Judge<'_> {
    /// Whether an attempt may be made now; it is counted as one that failed until the answer says otherwise.
    pub(super) fn brakes(&mut self, request: &Request<'_>, content: Content, body: &[u8]) -> Judged {
        if !self.runs(Check::Brakes)? {
            return Ok(());
        }
        let held = std::sync::Arc::clone(&self.rules.brakes);
        for held in held.iter() {
            self.brake(held.place, &held.rule, request, content, body)?;
        }
        Ok(())
    }

    fn brake(
        &mut self,
        place: usize,
        brake: &BrakePolicy,
        request: &Request<'_>,
        content: Content,
        body: &[u8],
    ) -> Judged {
        let enforced = (brake.mode, self.rules.of(Check::Brakes).mode) == (Mode::Enforce, Mode::Enforce);
        // One place per request: a second brake would count the same attempt again.
        if brake.mode == Mode::Off || self.attempt.is_some() {
            return Ok(());
        }
        let accounts = found(&brake.account, true, request, content, body);
        let Some(account) = accounts.values.first() else { return Ok(()) };
        let finding = |reason, text: String| Finding {
            check: Check::Brakes,
            reason,
            evidence: Some(Box::new(Evidence {
                place: "account".to_owned(),
                rule: brake.name.clone(),
                score: 0,
                text,
            })),
        };
        let credential = found(&brake.credential, false, request, content, body);
        // Which one the server behind takes, only it knows.
        if accounts.values.len() > 1 || credential.values.len() > 1 {
            return self.effect_of(enforced, finding(Reason::BrakeAccount, String::new()));
        }
        let (Some(state), Some(time)) = (self.context.state, self.context.time) else {
            return self.failed(Check::Brakes, Reason::RateUnknown);
        };
        let hashed = |text: &String| digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        let attempted = Attempted {
            brake: place,
            account: normalised(account).into_bytes(),
            origin: self.origin(&brake.origin, request),
            credential: credential.values.first().map(hashed),
        };
        let Some(known) = state.brake(place) else { return self.failed(Check::Brakes, Reason::RateUnknown) };
        if self.context.looks_only {
            return Ok(());
        }
        match known.begin(&attempted.attempt(), time.monotonic) {
            Ok(()) => {
                self.attempt = Some(Box::new(attempted));
                Ok(())
            }
            Err(rates::Delay(wait)) => {
                if enforced {
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    self.headers.push(("retry-after".to_owned(), seconds.max(1).to_string()));
                }
                let text = sensitive::evidence_text(account);
                self.effect_of(enforced, finding(Reason::BrakeDelay, text))
            }
        }
    }

    pub(super) fn effect_of(&mut self, enforced: bool, finding: Finding) -> Judged {
        if enforced {
            return Err(Box::new(finding));
        }
        self.note(finding);
        Ok(())
    }

    fn origin(&self, origin: &Whence, request: &Request<'_>) -> Option<Vec<u8>> {
        match origin {
            Whence::Address => self.context.client.map(|address| network(address).into_bytes()),
            Whence::Certificate => {
                self.context.certificates.first().map(|der| certificate_thumbprint(der).to_vec())
            }
            Whence::Cookie(name) => sessions(request, name).pop(),
        }
    }
}

/// An address, or of IPv6 the network that one client has at least.
pub(super) fn network(address: IpAddr) -> String {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 64 };
    let network = ipnet::IpNet::new(address, bits);
    network.map_or_else(|_| address.into(), |network| network.trunc()).to_string()
}

/// `Alice`, ` alice` and what looks the same are one account: few servers tell them apart, and none needs it here.
fn normalised(account: &str) -> String {
    account.trim().nfkc().flat_map(char::to_lowercase).collect()
}

/// What stands in these places; several values where one holds several, or another has something else. `user`: of Basic the user, not the
/// password.
fn found(places: &[Named], user: bool, request: &Request<'_>, content: Content, body: &[u8]) -> Found {
    let mut all = Found::default();
    for named in places {
        let found = match named {
            Named::Basic => basic(request, user),
            Named::Form(name) => {
                let is_it = |one: &str| is_same_parameter(one, name);
                let mut found = in_query(request, is_it);
                if matches!(content, Content::Form | Content::Multipart) {
                    let fields = in_body(request, content, body, |place| match place {
                        Place::Form(one) | Place::Part(one) => is_it(one),
                        _ => false,
                    });
                    found.values.extend(fields.values);
                }
                found
            }
            Named::Json(pointer) if content == Content::Json => in_body(
                request,
                content,
                body,
                |place| matches!(place, Place::Json(steps) | Place::JsonNumber(steps) if is_at(steps, pointer)),
            ),
            Named::Json(_) => Found::default(),
        };
        // A dummy in a place that comes first hides nothing.
        let same = |one: &str, other: &str| {
            if user { normalised(one) == normalised(other) } else { one == other }
        };
        let first = all.values.first().cloned();
        let other = |value: &String| first.as_ref().is_none_or(|first| !same(first, value));
        all.values.extend(found.values.into_iter().filter(other));
    }
    all
}

/// Many servers have one set of parameters for the query and the form.
fn in_query(request: &Request<'_>, is_it: impl Fn(&str) -> bool) -> Found {
    // The head was judged already.
    let target = Target::read(request.method, request.target, &target::Limits::WIDEST);
    let query = target.map(|target| target.query).unwrap_or_default();
    let values = query.into_iter().filter(|(name, _)| is_it(name)).map(|(_, value)| value.into_owned());
    Found { values: values.take(MOST).collect() }
}

/// Values that are kept: more than one are too many.
const MOST: usize = 2;

fn in_body(
    request: &Request<'_>,
    content: Content,
    body: &[u8],
    is_it: impl Fn(&Place<'_>) -> bool,
) -> Found {
    let mut found = Found::default();
    let mut show = |place: &Place<'_>, text: &str| {
        if found.values.len() < MOST && is_it(place) {
            found.values.push(text.to_owned());
        }
        Ok(())
    };
    let content_type = request.values("content-type").next().unwrap_or_default();
    let limits = Limits::widest();
    let _ = match content {
        Content::Json => values::of_json(body, &limits.json, &mut show),
        Content::Form => values::of_form(body, &limits.form, &mut show),
        Content::Multipart => values::of_parts(content_type, body, &limits.multipart, &mut show),
        _ => Ok(()),
    };
    found
}

/// Whether these steps are what a pointer names.
fn is_at(steps: &[Step<'_>], pointer: &str) -> bool {
    let mut names = pointer.split('/').skip(1);
    let same = steps.iter().all(|step| {
        let Some(name) = names.next() else { return false };
        match step {
            Step::Name(one) => is_same_entry(one, &name.replace("~1", "/").replace("~0", "~")),
            Step::Element(number) => name == number.to_string(),
        }
    });
    same && names.next().is_none()
}

fn basic(request: &Request<'_>, user: bool) -> Found {
    let decoded = request.values("authorization").find_map(|value| {
        let (scheme, rest) = value.split_at_checked(5)?;
        let text =
            (scheme.eq_ignore_ascii_case(b"basic") && matches!(rest, [b' ' | b'\t', ..])).then_some(rest)?;
        Some(String::from_utf8_lossy(&decoded(text)?).into_owned())
    });
    let split = decoded.as_deref().and_then(|text| text.split_once(':'));
    Found {
        values: split
            .map(|(name, password)| if user { name } else { password }.to_owned())
            .into_iter()
            .collect(),
    }
}

/// As the most lenient servers decode it: either alphabet, with or without padding, and with characters in between that belong to neither.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let plain = text.iter().filter_map(|byte| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(*byte),
        byte => byte.is_ascii_alphanumeric().then_some(*byte),
    });
    let mut plain: Vec<u8> = plain.collect();
    // A single character at the end is no byte.
    if plain.len() % 4 == 1 {
        plain.pop();
    }
    LENIENT.decode(plain).ok()
}

//! What signatures have matched.

use stopbank_common::{counters::Tally, signature::field};

use super::{Engine, State};
use crate::control::{
    Refused,
    api::{Matched, SignatureStatus, SignaturesReport},
};

impl From<Tally> for Matched {
    fn from(Tally { packets, bytes }: Tally) -> Self {
        Self { packets, bytes }
    }
}

impl State {
    /// Every signature of the configuration.
    pub(super) fn signatures(&self) -> Result<Vec<SignatureStatus>, Refused> {
        let counters = self.config.signatures.iter().zip(self.counters.iter());
        let one = |(rule, (counter, name)): (&crate::config::SignatureRule, (u32, &str))| {
            let [dropped, observed] = self.datapath.signature_matches(counter)?;
            let classes = self.config.all_classes().filter(|class| class.signatures.contains(&rule.name));
            Ok(SignatureStatus {
                name: name.to_owned(),
                observe: rule.matches.fields & field::OBSERVE != 0,
                classes: classes.map(|class| class.name.clone()).collect(),
                dropped: dropped.into(),
                observed: observed.into(),
            })
        };
        counters.map(one).collect()
    }
}

impl Engine {
    pub(super) fn report_signatures(&self) -> Result<SignaturesReport, Refused> {
        Ok(SignaturesReport { signatures: self.lock().signatures()? })
    }
}

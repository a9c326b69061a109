//! Changes to the proven sources.

use stopbank_common::Address;

use super::{Engine, State};
use crate::{
    control::{
        Refused,
        api::{ProveRequest, Proved, UnproveRequest, Unproved},
    },
    datapath::{DatapathError, monotonic_ns},
};

impl Engine {
    /// Takes sources as proven, all or none.
    pub(super) fn prove_sources(&self, request: &ProveRequest) -> Result<Proved, Refused> {
        let mut state = self.lock();
        let now = monotonic_ns();
        state.sweep_proofs(now)?;
        let (sources, until) = state.proofs.plan(request, &state.policy.levels[0], now)?;
        let mut done: Vec<(Address, Option<u64>)> = Vec::with_capacity(sources.len());
        for source in sources {
            if let Err(error) = state.datapath.prove(source, until) {
                state.take_back(&done);
                return Err(error.into());
            }
            let before = state.proofs.add(source, until);
            done.push((source, before));
        }
        drop(state);
        let renewed = done.iter().filter(|(_, before)| before.is_some()).count();
        Ok(Proved { added: done.len() - renewed, renewed })
    }

    /// Takes proofs back, all or none.
    pub(super) fn unprove_sources(&self, request: &UnproveRequest) -> Result<Unproved, Refused> {
        let mut state = self.lock();
        state.sweep_proofs(monotonic_ns())?;
        let sources = state.proofs.find(&request.sources, &state.policy.levels[0])?;
        state.end_proofs(&sources)?;
        Ok(Unproved { removed: sources.len() })
    }
}

impl State {
    /// Frees the places of proofs whose time is over. The kernel goes by their time itself.
    pub(super) fn sweep_proofs(&mut self, now_ns: u64) -> Result<(), DatapathError> {
        let expired = self.proofs.expired(now_ns);
        self.end_proofs(&expired)
    }

    fn end_proofs(&mut self, sources: &[Address]) -> Result<(), DatapathError> {
        for source in sources {
            self.datapath.unprove(*source)?;
            self.proofs.remove(*source);
        }
        Ok(())
    }

    /// Puts back what was before each of these was proven.
    fn take_back(&mut self, done: &[(Address, Option<u64>)]) {
        for (source, before) in done {
            let undone = match before {
                Some(until) => self.datapath.prove(*source, *until),
                None => self.datapath.unprove(*source).map(|_| ()),
            };
            if let Err(error) = undone {
                tracing::warn!("a proof cannot be taken back: {error}");
                continue;
            }
            match before {
                Some(until) => drop(self.proofs.add(*source, *until)),
                None => self.proofs.remove(*source),
            }
        }
    }
}

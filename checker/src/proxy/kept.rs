//! What is kept of an answer that a specification declares, to be held against it when it has been passed on.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use stopbank_checker::{
    Field, Finding, Policy,
    engine::Answer,
    response::{Ending, Response},
};

use super::shared::Shared;

/// Most bytes of a body; of a longer one status and type alone are judged. It is judged where others are served, who wait for it.
const MOST: usize = 64 << 10;

/// What an answer was, for whoever looks when it is over.
pub(crate) type Keeping = Rc<RefCell<Kept>>;

#[derive(Debug)]
pub(crate) struct Kept {
    status: u16,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// As far as it has come; `None` where it is not kept.
    body: Option<Vec<u8>>,
    /// Whether it has come to its end.
    pub(crate) whole: bool,
    shared: Arc<Shared>,
    /// Bytes of bodies that all together may have.
    most: usize,
}

impl Kept {
    /// Of an answer to a request; `is_head`: one that asks for the head alone.
    pub(crate) fn new(
        response: &Response<'_>,
        ending: Ending,
        is_head: bool,
        shared: &Arc<Shared>,
        most: usize,
    ) -> Keeping {
        let headers = response.headers.iter();
        let headers = headers.filter(|field| field.is("content-type") || field.is("content-encoding"));
        let left_out =
            is_head || response.status == 304 || matches!(ending, Ending::Length(length) if length > MOST);
        Rc::new(RefCell::new(Self {
            status: response.status,
            headers: headers.map(|field| (field.name.to_vec(), field.value.to_vec())).collect(),
            body: (!left_out).then(Vec::new),
            whole: false,
            shared: Arc::clone(shared),
            most,
        }))
    }

    /// A piece of its body.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        let Some(body) = &mut self.body else { return };
        let fits = body.len() + piece.len() <= MOST;
        if fits && self.shared.buffered.take(piece.len(), self.most) {
            body.extend_from_slice(piece);
        } else {
            self.shared.buffered.give(body.len());
            self.body = None;
        }
    }

    /// What is wrong with it.
    pub(crate) fn judge(
        &self,
        policy: &Policy,
        route: Option<usize>,
        operation: Option<usize>,
    ) -> Vec<Finding> {
        let headers: Vec<Field<'_>> =
            self.headers.iter().map(|(name, value)| Field { name, value }).collect();
        let answer = Answer { status: self.status, headers: &headers, body: self.body.as_deref() };
        policy.judge_response(route, operation, &answer)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.shared.buffered.give(self.body.as_ref().map_or(0, Vec::len));
    }
}

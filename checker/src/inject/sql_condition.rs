//! Operands and conditions of SQL.

use super::sql_token::{Kind, Token, Word};

/// How clearly something is a condition and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Strength {
    No,
    /// A literal alone.
    Weak,
    /// A name or a call, compared with something.
    Some,
    /// Literals compared, or a subquery, or a function of the server's own.
    Strong,
}

/// Tokens with what is asked of them.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'t> {
    pub(super) text: &'t [u8],
    pub(super) all: &'t [Token],
    /// Of which kinds there are any ([`Kind::bit`]).
    present: u64,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t [u8], all: &'t [Token]) -> Self {
        Self { text, all, present: all.iter().fold(0, |present, token| present | token.kind.bit()) }
    }

    /// Whether there is a token of any of these kinds: a text has few of those that a rule begins with.
    pub(super) const fn has(self, kinds: u64) -> bool {
        self.present & kinds != 0
    }

    /// Whether it has several lines, as code and documents have: looked for at its beginning, since rules ask this at one token after another.
    pub(super) fn has_lines(self) -> bool {
        memchr::memchr(b'\n', self.beginning()).is_some()
    }

    /// So much of the text as a rule may search for each token.
    pub(super) fn beginning(self) -> &'t [u8] {
        &self.text[..self.text.len().min(1024)]
    }

    pub(super) fn kind(self, at: usize) -> Option<Kind> {
        self.all.get(at).map(|token| token.kind)
    }

    pub(super) fn is(self, at: usize, kind: Kind) -> bool {
        self.kind(at) == Some(kind)
    }

    pub(super) fn word(self, at: usize, word: Word) -> bool {
        self.is(at, Kind::Word(word))
    }

    pub(super) fn bytes(self, at: usize) -> &'t [u8] {
        self.all.get(at).map_or(&[], |token| &self.text[token.start as usize..token.end as usize])
    }

    /// Whether nothing but closing parentheses and a comment follows.
    pub(super) fn ends(self, at: usize) -> bool {
        let at = self.skip_right(at);
        self.kind(at).is_none() || (self.is(at, Kind::Comment) && at + 1 == self.all.len())
    }

    pub(super) fn skip_right(self, at: usize) -> usize {
        (at..self.all.len()).find(|&at| !self.is(at, Kind::Right)).unwrap_or(self.all.len())
    }

    pub(super) fn skip_left(self, at: usize) -> usize {
        (at..self.all.len()).find(|&at| !self.is(at, Kind::Left)).unwrap_or(self.all.len())
    }

    pub(super) fn is_literal(self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(Kind::Number | Kind::String | Kind::Open | Kind::Variable | Kind::Word(Word::Literal))
        )
    }

    pub(super) fn is_or(self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word(Word::Or | Word::And) | Kind::Bars | Kind::Ampersands))
    }

    pub(super) fn is_compare(self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Compare | Kind::Word(Word::Compare | Word::Between)))
            || (self.word(at, Word::Not) && self.is(at + 1, Kind::Word(Word::Compare)))
    }

    /// A call: a name and `(` directly behind it.
    pub(super) fn is_call(self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(Kind::Word(
                Word::Inner | Word::Function | Word::Plain | Word::If | Word::Exists | Word::Statement
            ))
        ) && self.is(at + 1, Kind::Left)
    }

    /// Whether a name is a member of something: `a.load_file`, `a::load_file`. A server's own functions have a schema before them at most,
    /// and only those of a kind that comes with one.
    pub(super) fn is_member(self, at: usize) -> bool {
        let joined = at > 0 && (self.is(at - 1, Kind::Dot) || self.bytes(at - 1) == b"::");
        let schemed = [&b"pg_"[..], b"xp_", b"sp_", b"dbms_", b"utl_"];
        joined && !schemed.iter().any(|start| self.bytes(at).starts_with(start))
    }

    /// A call of a function that SQL has, or of one of the server's own.
    pub(super) fn is_sql_call(self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word(Word::Inner | Word::Function | Word::If)))
            && self.is(at + 1, Kind::Left)
    }

    /// `select`, or `(`s and then `select`, with something behind it that no sentence has there.
    pub(super) fn is_subquery(self, at: usize) -> bool {
        self.is(at, Kind::Left)
            && self.word(self.skip_left(at), Word::Select)
            && self.is_selection(self.skip_left(at) + 1)
    }

    /// What stands behind `select` in a query, and not in a sentence.
    pub(super) fn is_selection(self, at: usize) -> bool {
        let mut at = at;
        while self.word(at, Word::All) {
            at += 1;
        }
        // select -+1, select not 1, select binary 'a'
        let signs = self.signs(at);
        if signs > at {
            return matches!(
                self.kind(signs),
                Some(Kind::Number | Kind::String | Kind::Variable | Kind::Word(Word::Literal))
            ) || self.is_sql_call(signs)
                || self.bytes(at) != b"binary" && self.is(signs, Kind::Left);
        }
        match self.kind(at) {
            Some(
                Kind::Number
                | Kind::Variable
                | Kind::Word(Word::Literal | Word::Case | Word::If)
                | Kind::Left,
            ) => true,
            Some(Kind::String | Kind::Open) => {
                matches!(
                    self.kind(at + 1),
                    None | Some(
                        Kind::Comma
                            | Kind::Comment
                            | Kind::Bars
                            | Kind::Compare
                            | Kind::Right
                            | Kind::Arithmetic
                    )
                ) || self.word(at + 1, Word::From)
                    || self.word(at + 1, Word::Where)
            }
            Some(Kind::Arithmetic) => {
                matches!(self.kind(at + 1), Some(Kind::Number | Kind::String | Kind::Comma))
                    || self.bytes(at + 1).starts_with(b"@@")
                    || self.word(at + 1, Word::From)
            }
            Some(Kind::Word(word)) => {
                let behind = self.name(at);
                self.is_call(at)
                    || self.is_column(at, false)
                    || (word == Word::Compare && self.is(at + 1, Kind::Left))
                    || (self.bytes(at) == b"top" && self.is(at + 1, Kind::Number))
                    || self.word(behind, Word::Where)
                    || word == Word::Inner
                    || self.word(behind, Word::From)
                    || self.is(behind, Kind::Bars)
                    || (self.is(behind, Kind::Comma) && !self.spaced_prose(behind))
            }
            _ => false,
        }
    }

    /// Behind the signs before an operand: `-+`, `not`, `binary`.
    pub(super) fn signs(self, at: usize) -> usize {
        let mut at = at;
        while match self.kind(at) {
            Some(Kind::Arithmetic) => matches!(self.bytes(at), b"-" | b"+" | b"~" | b"!"),
            Some(Kind::Word(Word::Not)) => true,
            Some(Kind::Word(Word::Plain)) => self.bytes(at) == b"binary",
            _ => false,
        } {
            at += 1;
        }
        at
    }

    /// What a name, arithmetic and another name come from: `id-0 from`; or a name and another for it: `id x from`.
    pub(super) fn is_column(self, at: usize, aliased: bool) -> bool {
        let Some(behind) = self.operand(at) else { return false };
        let computed = self.is(behind, Kind::Arithmetic)
            && self.operand(behind + 1).is_some_and(|behind| self.word(behind, Word::From));
        let alias = behind + usize::from(self.word(behind, Word::As));
        computed
            || aliased
                && matches!(self.kind(alias), Some(Kind::Word(Word::Plain) | Kind::String))
                && self.word(alias + 1, Word::From)
    }

    /// A comma of a sentence: more than one word before the next sign.
    fn spaced_prose(self, comma: usize) -> bool {
        let plain = |at| matches!(self.kind(at), Some(Kind::Word(Word::Plain)));
        plain(comma + 1) && plain(comma + 2)
    }

    /// Behind a name with dots in it.
    pub(super) fn name(self, at: usize) -> usize {
        let mut at = at;
        while matches!(self.kind(at), Some(Kind::Word(_))) && self.is(at + 1, Kind::Dot) {
            at += 2;
        }
        at + 1
    }

    /// Behind an operand, if there is one: a literal, a name, a call, or anything in parentheses, with signs before it.
    pub(super) fn operand(self, at: usize) -> Option<usize> {
        let mut at = at;
        while matches!(self.kind(at), Some(Kind::Arithmetic | Kind::Word(Word::Not)))
            || self.bytes(at) == b"binary" && self.is_operand_start(at + 1)
        {
            at += 1;
        }
        match self.kind(at)? {
            Kind::Left => Some(self.all[at].behind as usize),
            Kind::String | Kind::Open => (at..self.all.len())
                .find(|&at| !matches!(self.kind(at), Some(Kind::String | Kind::Open)))
                .or(Some(self.all.len())),
            Kind::Number | Kind::Variable | Kind::Word(Word::Literal) => Some(at + 1),
            Kind::Word(
                Word::Plain | Word::Inner | Word::Function | Word::If | Word::Exists | Word::Statement,
            ) => {
                let behind = self.name(at);
                if self.is(behind, Kind::Left) {
                    Some(self.all[behind].behind as usize)
                } else {
                    Some(behind)
                }
            }
            _ => None,
        }
    }

    fn is_operand_start(self, at: usize) -> bool {
        self.is_literal(at) || self.is(at, Kind::Left)
    }

    /// How clearly what begins here is a condition.
    pub(super) fn condition(self, at: usize) -> Strength {
        let mut at = at;
        while matches!(self.kind(at), Some(Kind::Word(Word::Not) | Kind::Arithmetic)) {
            at += 1;
        }
        let inside = self.skip_left(at);
        let opened = inside > at;
        let mut at = inside;
        while matches!(self.kind(at), Some(Kind::Arithmetic | Kind::Word(Word::Not))) {
            at += 1;
        }
        if (opened && self.word(at, Word::Select) && self.is_selection(at + 1))
            || (self.word(at, Word::Exists) && self.is_subquery(at + 1))
            || (self.word(at, Word::Case) && self.word(at + 1, Word::When))
            || (self.word(at, Word::Inner) && (self.is_call(at) || self.is(at + 1, Kind::Dot)))
        {
            return Strength::Strong;
        }
        // (1,1)=(select …)
        if opened
            && let Some(behind) = self.all.get(inside - 1).map(|token| token.behind as usize)
            && self.is_compare(behind)
            && self.is_subquery(behind + 1)
        {
            return Strength::Strong;
        }
        // f(1=1, …): a comparison of numbers as an argument.
        if self.is_call(at)
            && self.is(at + 2, Kind::Number)
            && self.is(at + 3, Kind::Compare)
            && self.is(at + 4, Kind::Number)
            && self.is(at + 5, Kind::Comma)
        {
            return Strength::Strong;
        }
        let (literal, call) = (self.is_literal(at), self.is_sql_call(at));
        let mut name = matches!(self.kind(at), Some(Kind::Word(Word::Plain | Word::Function | Word::Inner)));
        name |= call;
        let Some(mut behind) = self.operand(at) else { return Strength::No };
        while self.is(behind, Kind::Arithmetic) || self.is(behind, Kind::Right) {
            if self.is(behind, Kind::Right) {
                behind += 1;
            } else if let Some(further) = self.operand(behind + 1) {
                if self.is_subquery(behind + 1) {
                    return Strength::Strong;
                }
                behind = further;
            } else {
                break;
            }
        }
        if self.is_compare(behind) {
            let mut other = behind + 1 + usize::from(self.word(behind, Word::Not));
            while matches!(self.kind(other), Some(Kind::Arithmetic | Kind::Word(Word::Not | Word::Compare))) {
                other += 1;
            }
            let subquery = self.is_subquery(other);
            let inner = (other..self.all.len())
                .find(|&at| !matches!(self.kind(at), Some(Kind::Left | Kind::Arithmetic)))
                .unwrap_or(self.all.len());
            if subquery || self.word(inner, Word::Inner) || (self.is_sql_call(inner) && (call || literal)) {
                return Strength::Strong;
            }
            if self.is_literal(inner) {
                return if literal || call { Strength::Strong } else { Strength::Some };
            }
            // name like char(37)
            if self.is_sql_call(inner) && name {
                return Strength::Some;
            }
            let symbol = self.is(behind, Kind::Compare);
            // `a`=`a, which the application closes.
            let named = self.operand(other).is_some() || self.bytes(other) == b"`";
            // 1 sounds like a: a literal and a pattern, and no sentence (`1 or 2 like the ones (below)`).
            let single = self.ends(other + 1) || self.is_or(other + 1);
            let pattern = literal && single && !matches!(self.bytes(behind), b"is" | b"in" | b"between");
            let compared = symbol && (literal || name) || pattern && !self.word(behind, Word::Not);
            return if compared && named { Strength::Some } else { Strength::No };
        }
        if call {
            return if self.word(at, Word::Inner) || self.bytes(at) == b"sleep" {
                Strength::Strong
            } else {
                Strength::Some
            };
        }
        if literal { Strength::Weak } else { Strength::No }
    }
}

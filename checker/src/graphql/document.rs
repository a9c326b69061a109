//! Operations and fragments of a GraphQL document (September 2025, section 2), measured as they are read: no tree is built.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Asked, Limits, Variables, Visitor,
    lexer::{Lexer, Token},
};
use crate::Reason;

/// Lists and objects within one another, in a value or a type.
const NESTING: usize = 32;

/// A kind of operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Query,
    Mutation,
    Subscription,
}

/// What an operation or a fragment asks for, without what the fragments that it spreads do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Measure {
    /// Fields within one another.
    pub(super) depth: usize,
    /// Fields.
    pub(super) fields: usize,
    /// Fields that are in no other.
    pub(super) roots: usize,
    /// Fields with an alias.
    pub(super) aliases: usize,
    /// Directives.
    pub(super) directives: usize,
    /// The weights of the fields, each as many times as the lists ask for that it is in.
    pub(super) cost: usize,
}

/// A place where a fragment is spread.
pub(super) struct Spread<'r> {
    pub(super) fragment: &'r str,
    /// Fields around it.
    pub(super) depth: usize,
    /// How many times the lists around it ask for it.
    pub(super) factor: usize,
}

/// An operation or a fragment.
#[derive(Default)]
pub(super) struct Definition<'r> {
    pub(super) own: Measure,
    pub(super) spreads: Vec<Spread<'r>>,
}

/// A document.
#[derive(Default)]
pub(super) struct Document<'r> {
    pub(super) operations: Vec<(Kind, Definition<'r>)>,
    pub(super) fragments: BTreeMap<&'r str, Definition<'r>>,
}

pub(super) struct Parser<'r, 'c, 'v> {
    lexer: Lexer<'r>,
    next: Token<'r>,
    limits: &'c Limits,
    /// What the request gives for variables.
    given: &'c Variables,
    /// What operations have for variables which the request does not give; fragments are read with them, too.
    defaults: BTreeMap<&'r str, Asked>,
    visit: Visitor<'v>,
}

impl<'r, 'c, 'v> Parser<'r, 'c, 'v> {
    pub(super) fn new(
        text: &'r str,
        limits: &'c Limits,
        given: &'c Variables,
        defaults: BTreeMap<&'r str, Asked>,
        visit: Visitor<'v>,
    ) -> Result<Self, Reason> {
        let mut lexer = Lexer::new(text, limits.tokens);
        let next = lexer.token()?;
        Ok(Self { lexer, next, limits, given, defaults, visit })
    }

    /// All of the document: at least one operation, and fragments. Definitions of types are no part of a request. With it come the defaults of
    /// its variables.
    pub(super) fn document(mut self) -> Result<(Document<'r>, BTreeMap<&'r str, Asked>), Reason> {
        let mut document = Document::default();
        let mut names = BTreeSet::new();
        while self.next != Token::End {
            let described = matches!(self.next, Token::String(_));
            if described {
                self.advance()?;
            }
            if !described && self.next == Token::Sign(b'{') {
                let mut definition = Definition::default();
                self.selections(&mut definition)?;
                names.insert("");
                document.operations.push((Kind::Query, definition));
                continue;
            }
            let kind = match self.name()? {
                "query" => Kind::Query,
                "mutation" => Kind::Mutation,
                "subscription" => Kind::Subscription,
                "fragment" => {
                    let (name, definition) = self.fragment()?;
                    if document.fragments.insert(name, definition).is_some() {
                        return Err(Reason::GraphQlSyntax);
                    }
                    continue;
                }
                _ => return Err(Reason::GraphQlSyntax),
            };
            let name = if let Token::Name(_) = self.next { self.name()? } else { "" };
            if !names.insert(name) {
                return Err(Reason::GraphQlSyntax);
            }
            document.operations.push((kind, self.operation()?));
        }
        // An operation without a name stands alone (section 5.2.3.1): servers differ in which one they take.
        let alone = !names.contains("") || document.operations.len() == 1;
        if document.operations.is_empty() || !alone {
            return Err(Reason::GraphQlSyntax);
        }
        Ok((document, self.defaults))
    }

    fn advance(&mut self) -> Result<Token<'r>, Reason> {
        let next = self.lexer.token()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Goes over a sign if it comes next. Whether it did.
    fn take(&mut self, sign: u8) -> Result<bool, Reason> {
        let found = self.next == Token::Sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: u8) -> Result<(), Reason> {
        if self.take(sign)? { Ok(()) } else { Err(Reason::GraphQlSyntax) }
    }

    fn name(&mut self) -> Result<&'r str, Reason> {
        match self.advance()? {
            Token::Name(name) => Ok(name),
            _ => Err(Reason::GraphQlSyntax),
        }
    }

    /// An operation behind its kind and name.
    fn operation(&mut self) -> Result<Definition<'r>, Reason> {
        let mut definition = Definition::default();
        if self.take(b'(')? {
            self.variables(&mut definition)?;
        }
        self.directives(&mut definition)?;
        self.selections(&mut definition)?;
        Ok(definition)
    }

    /// A fragment behind that word.
    fn fragment(&mut self) -> Result<(&'r str, Definition<'r>), Reason> {
        let mut definition = Definition::default();
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return Err(Reason::GraphQlSyntax);
        }
        self.name()?;
        self.directives(&mut definition)?;
        self.selections(&mut definition)?;
        Ok((name, definition))
    }

    /// Definitions of variables behind their parenthesis.
    fn variables(&mut self, definition: &mut Definition<'r>) -> Result<(), Reason> {
        let mut names = BTreeSet::new();
        loop {
            if matches!(self.next, Token::String(_)) {
                self.advance()?;
            }
            self.expect(b'$')?;
            let name = self.name()?;
            if !names.insert(name) {
                return Err(Reason::GraphQlSyntax);
            }
            if names.len() > self.limits.variables {
                return Err(Reason::GraphQlVariables);
            }
            self.expect(b':')?;
            self.kind_of_value()?;
            if self.take(b'=')? {
                let own = if let Token::Integer(number) = &self.next { whole(number) } else { 0 };
                let within = self.value(name)?;
                let default = self.defaults.entry(name).or_default();
                *default = Asked { own: default.own.max(own), within: default.within.max(within) };
            }
            self.directives(definition)?;
            if self.take(b')')? {
                return Ok(());
            }
        }
    }

    /// A type (section 2.11).
    fn kind_of_value(&mut self) -> Result<(), Reason> {
        let mut lists = 0;
        while self.take(b'[')? {
            lists += 1;
            if lists > NESTING {
                return Err(Reason::GraphQlDepth);
            }
        }
        self.name()?;
        self.take(b'!')?;
        for _ in 0..lists {
            self.expect(b']')?;
            self.take(b'!')?;
        }
        Ok(())
    }

    fn directives(&mut self, definition: &mut Definition<'r>) -> Result<(), Reason> {
        while self.take(b'@')? {
            self.name()?;
            definition.own.directives += 1;
            self.arguments()?;
        }
        Ok(())
    }

    /// Arguments, if there are some: how many times those that ask for a list ask for what is in it; 0 where none does.
    fn arguments(&mut self) -> Result<usize, Reason> {
        let mut factor = 0;
        if !self.take(b'(')? {
            return Ok(factor);
        }
        let mut names = BTreeSet::new();
        loop {
            let name = self.name()?;
            if !names.insert(name) {
                return Err(Reason::GraphQlSyntax);
            }
            self.expect(b':')?;
            factor = factor.max(self.value(name)?);
            if self.take(b')')? {
                return Ok(factor);
            }
        }
    }

    /// A value: strings in it are shown with the name of the argument, or of the object's field that they are. How many times it, or what is
    /// in it, asks for a list's elements; 0 where it does not say.
    fn value(&mut self, argument: &'r str) -> Result<usize, Reason> {
        // The containers that are open: of an object the names that it has had.
        let mut open: Vec<Option<BTreeSet<&'r str>>> = Vec::new();
        let (mut name, mut factor) = (argument, 0);
        loop {
            if open.len() > NESTING {
                return Err(Reason::GraphQlDepth);
            }
            match open.last_mut() {
                Some(None) if self.take(b']')? => {
                    open.pop();
                }
                Some(Some(_)) if self.take(b'}')? => {
                    open.pop();
                }
                container => {
                    if let Some(Some(names)) = container {
                        name = self.name()?;
                        if !names.insert(name) {
                            return Err(Reason::GraphQlSyntax);
                        }
                        self.expect(b':')?;
                    }
                    match self.advance()? {
                        Token::Sign(b'[') => open.push(None),
                        Token::Sign(b'{') => open.push(Some(BTreeSet::new())),
                        scalar => factor = factor.max(self.scalar(name, scalar)?),
                    }
                }
            }
            if open.is_empty() {
                return Ok(factor);
            }
        }
    }

    fn scalar(&mut self, name: &str, token: Token<'r>) -> Result<usize, Reason> {
        let asks = self.limits.multipliers.iter().any(|known| known == name);
        match token {
            Token::Sign(b'$') => {
                let variable = self.name()?;
                let asked = self.given.get(variable).or_else(|| self.defaults.get(variable));
                let asked = asked.copied().unwrap_or_default();
                Ok(if asks { asked.own.max(asked.within) } else { asked.within })
            }
            Token::Integer(number) if asks => Ok(whole(number)),
            Token::String(string) => {
                (self.visit)(name, &string)?;
                Ok(0)
            }
            Token::Integer(_) | Token::Float | Token::Name(_) => Ok(0),
            Token::Sign(_) | Token::End => Err(Reason::GraphQlSyntax),
        }
    }

    /// A set of selections, with all that is in it.
    fn selections(&mut self, definition: &mut Definition<'r>) -> Result<(), Reason> {
        self.expect(b'{')?;
        // For each set that is open: the depth of its fields, and how many times they are asked for.
        let mut open = vec![(1_usize, 1_usize)];
        let mut first = true;
        while let Some(&(depth, factor)) = open.last() {
            if !first && self.take(b'}')? {
                open.pop();
                continue;
            }
            let inner = if self.take(b'.')? {
                self.spread(definition, depth, factor)?.then_some((depth, factor))
            } else {
                let factor = self.field(definition, depth, factor)?;
                self.take(b'{')?.then_some((depth + 1, factor))
            };
            first = inner.is_some();
            open.extend(inner);
        }
        Ok(())
    }

    /// A field: how many times its fields are asked for.
    fn field(
        &mut self,
        definition: &mut Definition<'r>,
        depth: usize,
        factor: usize,
    ) -> Result<usize, Reason> {
        let mut name = self.name()?;
        let own = &mut definition.own;
        own.fields += 1;
        own.depth = own.depth.max(depth);
        own.roots += usize::from(depth == 1);
        if self.take(b':')? {
            own.aliases += 1;
            name = self.name()?;
        }
        if matches!(name, "__schema" | "__type") && !self.limits.introspection {
            return Err(Reason::GraphQlIntrospection);
        }
        let of_field = |numbers: &[(String, usize)]| {
            numbers.iter().find(|(field, _)| field == name).map_or(1, |(_, number)| *number)
        };
        own.cost = own.cost.saturating_add(factor.saturating_mul(of_field(&self.limits.weights)));
        let assumed = of_field(&self.limits.lists);
        let asked = match self.arguments()? {
            0 => assumed,
            asked => asked,
        };
        self.directives(definition)?;
        Ok(factor.saturating_mul(asked))
    }

    /// What follows three dots: a fragment's name, or a fragment in its place, whose set of selections it opens. Whether it does.
    fn spread(
        &mut self,
        definition: &mut Definition<'r>,
        depth: usize,
        factor: usize,
    ) -> Result<bool, Reason> {
        if let Token::Name(name) = self.next {
            self.advance()?;
            if name != "on" {
                definition.spreads.push(Spread { fragment: name, depth: depth - 1, factor });
                self.directives(definition)?;
                return Ok(false);
            }
            self.name()?;
        }
        self.directives(definition)?;
        self.expect(b'{')?;
        Ok(true)
    }
}

/// A whole number, at least 1: what is too large is as large as can be.
pub(super) fn whole(number: &str) -> usize {
    if number.starts_with('-') { 1 } else { number.parse().unwrap_or(usize::MAX).max(1) }
}

//! The grammar: section 2, and the order of precedence in 3.6.

use std::ops::Range;

use winnow::combinator::{alt, cut_err, delimited, fail, opt, preceded, separated, terminated};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::one_of;

use super::functions::Function;
use super::like::Pattern;
use super::problem::{CLOSE, DIGITS, NAME, OPERATOR, PATTERN, Problem, SET, TEST, VALUE, Wrong, wrong};
use super::syntax::{LEVELS, Node, Operator};
use super::token::{Call, Input, Parsed, State, is_number, keyword, space, string, symbol, word};
use super::value::Value;
use crate::router::attribute::Attribute;
use crate::router::written::ParseError;

/// How deep parts may stand in one another, in the text and in the tree. Rows of binary operators are as long as they
/// like.
pub(super) const DEEPEST: usize = 100;

const RESERVED: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"];

struct Tree {
    node: Node,
    height: usize,
}

impl Tree {
    fn leaf(node: Node) -> Self {
        Self { node, height: 1 }
    }

    /// A tree over others, the highest of which is as high as that.
    fn over(input: &Input<'_>, highest: usize, node: Node) -> Parsed<Self> {
        if highest < DEEPEST { Ok(Self { node, height: highest + 1 }) } else { wrong(input, Problem::Depth) }
    }
}

/// The nodes of several trees, and the height of the highest.
fn list(trees: Vec<Tree>) -> (Box<[Node]>, usize) {
    let highest = trees.iter().map(|tree| tree.height).max().unwrap_or_default();
    (trees.into_iter().map(|tree| tree.node).collect(), highest)
}

/// Parses a whole expression; beside it, the calls that no function answers.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Call>), ParseError> {
    let mut input = Input { input: LocatingSlice::new(text), state: State::default() };
    let end = terminated(expression, end.context(OPERATOR));
    match preceded(space, end).parse_next(&mut input) {
        Ok(tree) => Ok((tree.node, input.state.unknown)),
        Err(ErrMode::Backtrack(wrong) | ErrMode::Cut(wrong)) => Err(wrong.told(text)),
        // Never of a whole text.
        Err(ErrMode::Incomplete(_)) => Err(Wrong { at: text.len(), problem: None }.told(text)),
    }
}

fn end(input: &mut Input<'_>) -> Parsed<()> {
    if input.input.is_empty() { Ok(()) } else { fail(input) }
}

fn expression(input: &mut Input<'_>) -> Parsed<Tree> {
    chain(input, 0)
}

/// One level of binary operators. 3.6 has operators of equal precedence be evaluated from left to right, `AND`, `OR` and
/// `XOR` among them; the grammar file beside the specification would have these from right to left.
fn chain(input: &mut Input<'_>, level: usize) -> Parsed<Tree> {
    let Some(operators) = LEVELS.get(level) else { return tests(input) };
    let first = chain(input, level + 1)?;
    let (mut rest, mut highest) = (Vec::new(), first.height);
    while let Some(operator) = opt(|input: &mut Input<'_>| operator(input, operators)).parse_next(input)? {
        let operand = cut_err(|input: &mut Input<'_>| chain(input, level + 1)).parse_next(input)?;
        highest = highest.max(operand.height);
        rest.push((operator, operand.node));
    }
    if rest.is_empty() { Ok(first) } else { Tree::over(input, highest, joined(first.node, level, rest)) }
}

/// A chain of the same level that stands in parentheses at the beginning means the same without them.
fn joined(first: Node, level: usize, rest: Vec<(Operator, Node)>) -> Node {
    match first {
        Node::Chain(first, start) if start.iter().all(|(operator, _)| operator.level() == level) => {
            Node::Chain(first, start.into_iter().chain(rest).collect())
        }
        first => Node::Chain(Box::new(first), rest.into()),
    }
}

fn operator(input: &mut Input<'_>, operators: &[(&'static str, Operator)]) -> Parsed<Operator> {
    for (text, operator) in operators {
        let is = if text.starts_with(char::is_alphabetic) {
            opt(keyword(text)).parse_next(input)?.is_some()
        } else {
            opt(symbol(text)).parse_next(input)?.is_some()
        };
        if is {
            return Ok(*operator);
        }
    }
    fail(input)
}

/// `LIKE` and `IN`, which stand behind what they test.
fn tests(input: &mut Input<'_>) -> Parsed<Tree> {
    let mut tree = prefixed(input)?;
    loop {
        let not = opt(keyword("NOT")).parse_next(input)?.is_some();
        let node = Box::new(tree.node);
        tree = if opt(keyword("LIKE")).parse_next(input)?.is_some() {
            let pattern = cut_err(pattern).parse_next(input)?;
            Tree::over(input, tree.height, Node::Like(node, Box::new(pattern)))?
        } else if opt(keyword("IN")).parse_next(input)?.is_some() {
            let (set, highest) = cut_err(set).parse_next(input).map(list)?;
            Tree::over(input, tree.height.max(highest), Node::In(node, set))?
        } else if not {
            return wrong(input, TEST);
        } else {
            return Ok(Tree { node: *node, ..tree });
        };
        if not {
            tree = Tree::over(input, tree.height, Node::Not(Box::new(tree.node)))?;
        }
    }
}

/// 3.4.3: a literal, nothing that would have to be cast.
fn pattern(input: &mut Input<'_>) -> Parsed<Pattern> {
    let pattern = string.map(|text| Pattern::new(&text));
    pattern.context(PATTERN).parse_next(input)
}

fn set(input: &mut Input<'_>) -> Parsed<Vec<Tree>> {
    let open = symbol("(").context(SET);
    delimited(open, cut_err(separated(1.., nested, symbol(","))), close).parse_next(input)
}

fn close(input: &mut Input<'_>) -> Parsed<()> {
    cut_err(symbol(")").context(CLOSE)).parse_next(input)
}

fn prefixed(input: &mut Input<'_>) -> Parsed<Tree> {
    if opt(keyword("NOT")).parse_next(input)?.is_some() {
        let tree = deeper(input, prefixed)?;
        return Tree::over(input, tree.height, Node::Not(Box::new(tree.node)));
    }
    if opt(keyword("EXISTS")).parse_next(input)?.is_some() {
        return cut_err(attribute).map(Node::Exists).map(Tree::leaf).parse_next(input);
    }
    if input.starts_with(['+', '-']) { signed(input) } else { primary(input) }
}

/// A sign right before digits belongs to the literal (2.2); any other `-` is the operator.
fn signed(input: &mut Input<'_>) -> Parsed<Tree> {
    let start = input.checkpoint();
    let number = (one_of(['+', '-']), word).take();
    if let Some(text) = opt(number.verify(|text: &str| is_number(&text[1..]))).parse_next(input)? {
        space(input)?;
        return integer(input, &start, text);
    }
    cut_err(symbol("-").context(DIGITS)).parse_next(input)?;
    let tree = deeper(input, prefixed)?;
    Tree::over(input, tree.height, Node::Negate(Box::new(tree.node)))
}

fn integer<'a>(input: &mut Input<'a>, start: &<Input<'a> as Stream>::Checkpoint, text: &str) -> Parsed<Tree> {
    if let Ok(number) = text.parse() {
        return Ok(Tree::leaf(Node::Literal(Value::Integer(number))));
    }
    input.reset(start);
    wrong(input, Problem::Range)
}

fn primary(input: &mut Input<'_>) -> Parsed<Tree> {
    let parenthesized = delimited(symbol("("), cut_err(nested), close);
    let text = string.map(|text| Tree::leaf(Node::Literal(Value::String(text.into()))));
    alt((parenthesized, text, named)).context(VALUE).parse_next(input)
}

/// What begins with a letter or a digit: an integer, a boolean, a call, or an attribute.
fn named(input: &mut Input<'_>) -> Parsed<Tree> {
    let start = input.checkpoint();
    let at = input.current_token_start();
    let name = word(input)?;
    let place = at..at + name.len();
    space(input)?;
    if is_number(name) {
        return integer(input, &start, name);
    }
    if let Some(flag) = boolean(name) {
        return Ok(Tree::leaf(Node::Literal(Value::Boolean(flag))));
    }
    if is_reserved(name) {
        input.reset(&start);
        return fail(input);
    }
    if opt(symbol("(")).parse_next(input)?.is_some() {
        return call(input, name, place);
    }
    input.reset(&start);
    attribute(input).map(Node::Attribute).map(Tree::leaf)
}

fn boolean(word: &str) -> Option<bool> {
    let is = |flag: &str| word.eq_ignore_ascii_case(flag);
    is("true").then_some(true).or_else(|| is("false").then_some(false))
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn call(input: &mut Input<'_>, name: &str, place: Range<usize>) -> Parsed<Tree> {
    if !name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') || name.starts_with('_') {
        return Err(ErrMode::Cut(Wrong { at: place.start, problem: Some(Problem::Function) }));
    }
    let arguments = if opt(symbol(")")).parse_next(input)?.is_some() {
        Vec::new()
    } else {
        terminated(cut_err(separated(1.., nested, symbol(","))), close).parse_next(input)?
    };
    let (name, (arguments, highest)) = (name.to_ascii_uppercase(), list(arguments));
    if let Some(function) = Function::called(&name, arguments.len()) {
        return Tree::over(input, highest, Node::Call(function, arguments));
    }
    let name = name.into_boxed_str();
    input.state.unknown.push(Call { place, name: name.clone(), arguments: arguments.len() });
    Tree::over(input, highest, Node::Unknown(name, arguments))
}

/// 2.2 has lower case only; the conformance tests ask for `EXISTS SOURCE` too, so case makes no difference.
fn attribute(input: &mut Input<'_>) -> Parsed<Attribute> {
    let start = input.checkpoint();
    let name = terminated(word, space).context(NAME).parse_next(input)?;
    if is_reserved(name) || name.contains('_') {
        input.reset(&start);
        let problem = if is_reserved(name) { NAME } else { Problem::Attribute };
        return wrong(input, problem);
    }
    Ok(Attribute::new(&name.to_ascii_lowercase()))
}

fn nested(input: &mut Input<'_>) -> Parsed<Tree> {
    deeper(input, expression)
}

fn deeper<'a>(input: &mut Input<'a>, inner: fn(&mut Input<'a>) -> Parsed<Tree>) -> Parsed<Tree> {
    if input.state.depth == DEEPEST {
        return wrong(input, Problem::Depth);
    }
    input.state.depth += 1;
    let tree = cut_err(inner).parse_next(input)?;
    input.state.depth -= 1;
    Ok(tree)
}

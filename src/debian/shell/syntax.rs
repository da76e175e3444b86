use std::sync::Arc;

/// A script.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) struct Script {
    /// Its commands.
    pub body: Node,
    /// Its here-documents.
    pub documents: Vec<Document>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) struct Document(pub Word);

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) enum Node {
    /// `A=b command word >file`
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word>, redirects: Vec<Redirect> },
    /// `a | b`
    Pipe(Vec<Node>),
    /// `! a`
    Not(Box<Node>),
    /// `a && b || c`: the first, then each with whether it stands behind `&&`.
    Chain(Box<Node>, Vec<(bool, Node)>),
    /// One after the other.
    Sequence(Vec<Node>),
    /// `( a )`
    Subshell(Box<Node>),
    /// A compound command with redirections.
    Redirected(Box<Node>, Vec<Redirect>),
    /// `if`: conditions with what is done then, and what is done else.
    If { arms: Vec<(Node, Node)>, otherwise: Option<Box<Node>> },
    /// `while` and `until`.
    While { until: bool, condition: Box<Node>, body: Box<Node> },
    /// `for`; without words over the arguments.
    For { name: String, words: Option<Vec<Word>>, body: Box<Node> },
    /// `case`
    Case { word: Word, arms: Vec<(Vec<Word>, Node)> },
    /// `name() { … }`
    Function { name: String, body: Arc<Node> },
}

/// A word before expansion.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::debian) struct Word(pub Vec<Piece>);

/// A part of a word.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) enum Piece {
    /// Text; quoted text is neither split nor a pattern.
    Text { text: String, quoted: bool },
    /// `$name`, `${name…}`
    Parameter { parameter: Parameter, quoted: bool },
    /// `$(…)`, `` `…` ``
    Command { body: Node, quoted: bool },
    /// `$((…))` with the commands and parameters in it.
    Arithmetic(Word),
}

/// `${name}`, `${name:-word}`, `${#name}`
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) struct Parameter {
    /// A name, a number, or one of `@*#?-$!`.
    pub name: String,
    /// `-`, `:-`, `=`, `:=`, `?`, `:?`, `+`, `:+`, `%`, `%%`, `#`, `##` with a word.
    pub operator: Option<(String, Word)>,
    /// `${#name}`
    pub length: bool,
}

/// A redirection.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) struct Redirect {
    /// The descriptor.
    pub descriptor: u32,
    /// Where it leads.
    pub target: Target,
}

/// Where a redirection leads.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::debian) enum Target {
    /// `<file`
    Read(Word),
    /// `>file`
    Write(Word),
    /// `>>file`
    Append(Word),
    /// `>&1`, `<&3`, `>&-`
    Duplicate(Word),
    /// `<<END`: index into the script's here-documents.
    Document(usize),
}

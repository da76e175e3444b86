use std::sync::Arc;

use super::syntax::{Document, Node, Parameter, Piece, Redirect, Script, Target, Word};

/// What is no POSIX shell, or not understood of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(in crate::debian) struct ShellError {
    /// From 1.
    pub line: usize,
    /// What was met.
    pub what: String,
}

/// How deep commands may stand in each other.
const DEEPEST: usize = 60;

/// Reads a script.
pub(in crate::debian) fn parse(text: &str) -> Result<Script, ShellError> {
    let mut parser = Parser::new(text, 0);
    let body = parser.list(&[])?;
    if parser.at < parser.text.len() {
        return Err(parser.wrong("this is no command"));
    }
    parser.documents()?;
    Ok(Script { body, documents: parser.finished })
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
    /// Here-documents whose text begins on the next line: index, end, whether expanded, whether tabs go.
    pending: Vec<(usize, String, bool, bool)>,
    finished: Vec<Document>,
    /// Without here-documents: the text stands inside of a word.
    inner: bool,
}

/// A redirection's target out of its word.
type Make = fn(Word) -> Target;

const RESERVED: [&str; 14] =
    ["then", "else", "elif", "fi", "do", "done", "esac", "}", "{", "!", "in", "if", "case", "for"];

impl Parser {
    fn new(text: &str, depth: usize) -> Self {
        let text = text.chars().collect();
        Self { text, at: 0, depth, pending: Vec::new(), finished: Vec::new(), inner: depth > 0 }
    }

    fn wrong(&self, what: impl Into<String>) -> ShellError {
        let line = 1 + self.text.iter().take(self.at).filter(|char| **char == '\n').count();
        ShellError { line, what: what.into() }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn ahead(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, char)| self.text.get(self.at + index) == Some(&char))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.ahead(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// Blanks, continued lines and a comment.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.ahead("\\\n") => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|char| char != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Blanks and ends of lines; here-documents are read where a line ends.
    fn lines(&mut self) -> Result<(), ShellError> {
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                return Ok(());
            }
            self.at += 1;
            self.documents()?;
        }
    }

    fn documents(&mut self) -> Result<(), ShellError> {
        for (index, end, expanded, tabs) in std::mem::take(&mut self.pending) {
            let mut body = String::new();
            loop {
                if self.at >= self.text.len() {
                    return Err(self.wrong(format!("the here-document has no end `{end}`")));
                }
                let mut line = String::new();
                while let Some(char) = self.peek() {
                    self.at += 1;
                    if char == '\n' {
                        break;
                    }
                    line.push(char);
                }
                let line = if tabs { line.trim_start_matches('\t') } else { &line };
                if line == end {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let word = if expanded {
                let mut parser = Self::new(&body, self.depth + 1);
                parser.quoted_until(None)?
            } else {
                Word(vec![Piece::Text { text: body, quoted: true }])
            };
            self.finished[index] = Document(word);
        }
        Ok(())
    }

    /// The reserved word or name that stands here, unquoted and whole.
    fn keyword(&self) -> String {
        let rest = self.text[self.at..].iter();
        rest.take_while(|char| !char.is_whitespace() && !"();<>&|\"'$`\\#".contains(**char)).collect()
    }

    fn expect(&mut self, word: &str) -> Result<(), ShellError> {
        self.lines()?;
        if self.keyword() != word {
            return Err(self.wrong(format!("`{word}` is missing")));
        }
        self.at += word.len();
        Ok(())
    }

    /// One level further into the text.
    fn deeper(&mut self, what: &str) -> Result<(), ShellError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(format!("{what} stand too deep in each other")));
        }
        Ok(())
    }

    /// Commands up to one of the words, or to `)`, `;;` and the end of the text.
    fn list(&mut self, ends: &[&str]) -> Result<Node, ShellError> {
        self.deeper("commands")?;
        let mut nodes = Vec::new();
        loop {
            self.lines()?;
            let done = match self.peek() {
                None | Some(')') => true,
                Some(';') if self.ahead(";;") => true,
                Some(_) => ends.contains(&self.keyword().as_str()),
            };
            if done {
                break;
            }
            nodes.push(self.and_or()?);
            self.blanks();
            match self.peek() {
                None | Some('\n' | ')') => {}
                Some(';') if self.ahead(";;") => {}
                Some(';') => self.at += 1,
                Some('&') => return Err(self.wrong("a command in the background")),
                Some(_) => return Err(self.wrong("this is no end of a command")),
            }
        }
        self.depth -= 1;
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn and_or(&mut self) -> Result<Node, ShellError> {
        let first = self.pipe()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let and = self.take("&&");
            if !and && !self.take("||") {
                return Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) });
            }
            self.lines()?;
            rest.push((and, self.pipe()?));
        }
    }

    fn pipe(&mut self) -> Result<Node, ShellError> {
        let mut negated = false;
        loop {
            self.blanks();
            if self.keyword() != "!" {
                break;
            }
            self.at += 1;
            negated = !negated;
        }
        let mut parts = vec![self.command()?];
        loop {
            self.blanks();
            if self.ahead("||") || !self.take("|") {
                break;
            }
            self.lines()?;
            parts.push(self.command()?);
        }
        let node = if parts.len() == 1 { parts.remove(0) } else { Node::Pipe(parts) };
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn command(&mut self) -> Result<Node, ShellError> {
        self.blanks();
        let compound = match self.keyword().as_str() {
            "if" => self.conditional()?,
            "while" => self.repeated(false)?,
            "until" => self.repeated(true)?,
            "for" => self.each()?,
            "case" => self.cases()?,
            "{" => self.group()?,
            "" if self.peek() == Some('(') => {
                if self.ahead("((") {
                    return Err(self.wrong("arithmetic is no command"));
                }
                self.at += 1;
                let body = self.list(&[])?;
                if !self.take(")") {
                    return Err(self.wrong("`)` is missing"));
                }
                Node::Subshell(Box::new(body))
            }
            "[[" => return Err(self.wrong("`[[` is no POSIX shell")),
            word if RESERVED.contains(&word) => return Err(self.wrong(format!("`{word}` has no beginning"))),
            _ => return self.simple(),
        };
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => break,
            }
        }
        Ok(if redirects.is_empty() { compound } else { Node::Redirected(Box::new(compound), redirects) })
    }

    fn group(&mut self) -> Result<Node, ShellError> {
        self.expect("{")?;
        let body = self.list(&["}"])?;
        self.expect("}")?;
        Ok(body)
    }

    fn conditional(&mut self) -> Result<Node, ShellError> {
        self.expect("if")?;
        let mut arms = Vec::new();
        loop {
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            arms.push((condition, self.list(&["elif", "else", "fi"])?));
            match self.keyword().as_str() {
                "elif" => self.at += 4,
                "else" => {
                    self.at += 4;
                    let otherwise = Some(Box::new(self.list(&["fi"])?));
                    self.expect("fi")?;
                    return Ok(Node::If { arms, otherwise });
                }
                _ => {
                    self.expect("fi")?;
                    return Ok(Node::If { arms, otherwise: None });
                }
            }
        }
    }

    fn repeated(&mut self, until: bool) -> Result<Node, ShellError> {
        self.at += 5;
        let condition = Box::new(self.list(&["do"])?);
        Ok(Node::While { until, condition, body: self.body()? })
    }

    fn body(&mut self) -> Result<Box<Node>, ShellError> {
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Box::new(body))
    }

    fn each(&mut self) -> Result<Node, ShellError> {
        self.expect("for")?;
        self.blanks();
        let name = self.keyword();
        self.at += name.chars().count();
        if !is_name(&name) {
            return Err(self.wrong("`for` has no variable"));
        }
        self.lines()?;
        let mut words = None;
        if self.keyword() == "in" {
            self.at += 2;
            let mut found = Vec::new();
            loop {
                self.blanks();
                match self.word()? {
                    Some(word) => found.push(word),
                    None => break,
                }
            }
            words = Some(found);
        }
        self.blanks();
        self.take(";");
        Ok(Node::For { name, words, body: self.body()? })
    }

    fn cases(&mut self) -> Result<Node, ShellError> {
        self.expect("case")?;
        self.blanks();
        let word = self.word()?.ok_or_else(|| self.wrong("`case` has no word"))?;
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.lines()?;
            if self.keyword() == "esac" {
                self.at += 4;
                return Ok(Node::Case { word, arms });
            }
            self.take("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                patterns.push(self.word()?.ok_or_else(|| self.wrong("`case` has no pattern"))?);
                self.blanks();
                if !self.take("|") {
                    break;
                }
            }
            if !self.take(")") {
                return Err(self.wrong("`)` is missing behind a pattern"));
            }
            arms.push((patterns, self.list(&["esac"])?));
            self.take(";;");
        }
    }

    fn simple(&mut self) -> Result<Node, ShellError> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            if words.is_empty() {
                let start = self.keyword();
                if let Some((name, _)) = start.split_once('=')
                    && is_name(name)
                    && !name.contains('-')
                {
                    self.at += name.len() + 1;
                    if self.peek() == Some('(') {
                        return Err(self.wrong("an array is no POSIX shell"));
                    }
                    assignments.push((name.to_owned(), self.word()?.unwrap_or_default()));
                    continue;
                }
                if assignments.is_empty() && redirects.is_empty() && is_name(&start) {
                    let before = self.at;
                    self.at += start.len();
                    self.blanks();
                    if self.take("(") {
                        self.blanks();
                        if !self.take(")") {
                            return Err(self.wrong("`)` is missing"));
                        }
                        self.lines()?;
                        self.deeper("functions")?;
                        let body = Arc::new(self.command()?);
                        self.depth -= 1;
                        return Ok(Node::Function { name: start, body });
                    }
                    self.at = before;
                }
            }
            match self.word()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        if words.is_empty() && assignments.is_empty() && redirects.is_empty() {
            return Err(self.wrong("a command is missing"));
        }
        Ok(Node::Simple { assignments, words, redirects })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, ShellError> {
        let before = self.at;
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        let (reads, is_document) = match self.peek() {
            Some('<') => (true, self.ahead("<<")),
            Some('>') => (false, false),
            _ => {
                self.at = before;
                return Ok(None);
            }
        };
        let descriptor = digits.parse().unwrap_or(u32::from(!reads));
        if ["<<<", "<(", ">(", "<>"].iter().any(|text| self.ahead(text)) {
            return Err(self.wrong("this redirection is not understood"));
        }
        if is_document {
            let target = self.document()?;
            return Ok(Some(Redirect { descriptor, target }));
        }
        let kinds: [(&str, Make); 6] = [
            (">>", Target::Append),
            (">&", Target::Duplicate),
            ("<&", Target::Duplicate),
            (">|", Target::Write),
            (">", Target::Write),
            ("<", Target::Read),
        ];
        for (sign, make) in kinds {
            if self.take(sign) {
                self.blanks();
                let word = self.word()?.ok_or_else(|| self.wrong("a redirection leads nowhere"))?;
                return Ok(Some(Redirect { descriptor, target: make(word) }));
            }
        }
        Ok(None)
    }

    fn document(&mut self) -> Result<Target, ShellError> {
        if self.inner {
            return Err(self.wrong("a here-document inside of a word"));
        }
        self.at += 2;
        let tabs = self.take("-");
        self.blanks();
        let word = self.word()?.ok_or_else(|| self.wrong("a here-document has no end"))?;
        let mut end = String::new();
        let mut expanded = true;
        for piece in word.0 {
            let Piece::Text { text, quoted } = piece else {
                return Err(self.wrong("the end of a here-document is no plain word"));
            };
            end.push_str(&text);
            expanded &= !quoted;
        }
        self.finished.push(Document(Word::default()));
        let index = self.finished.len() - 1;
        self.pending.push((index, end, expanded, tabs));
        Ok(Target::Document(index))
    }

    /// A word; `None` where none stands here.
    fn word(&mut self) -> Result<Option<Word>, ShellError> {
        let mut word = Word::default();
        let before = self.at;
        while let Some(char) = self.peek() {
            match char {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\\' if self.ahead("\\\n") => self.at += 2,
                '\\' => {
                    self.at += 1;
                    let next = self.peek().ok_or_else(|| self.wrong("nothing stands behind `\\`"))?;
                    self.at += 1;
                    word.text(next, true);
                }
                '\'' => {
                    self.at += 1;
                    word.0.push(Piece::Text { text: String::new(), quoted: true });
                    self.until_single_quote(&mut word)?;
                }
                '"' => {
                    self.at += 1;
                    word.0.push(Piece::Text { text: String::new(), quoted: true });
                    let inner = self.quoted_until(Some('"'))?;
                    word.0.extend(inner.0);
                }
                '$' | '`' => word.0.push(self.expansion(false)?),
                _ => {
                    self.at += 1;
                    word.text(char, false);
                }
            }
        }
        Ok((self.at > before && !word.0.is_empty()).then_some(word))
    }

    /// What stands up to the next single quote, which is passed over.
    fn until_single_quote(&mut self, word: &mut Word) -> Result<(), ShellError> {
        loop {
            let next = self.peek().ok_or_else(|| self.wrong("`'` has no end"))?;
            self.at += 1;
            if next == '\'' {
                return Ok(());
            }
            word.text(next, true);
        }
    }

    /// The text of double quotes and here-documents.
    fn quoted_until(&mut self, end: Option<char>) -> Result<Word, ShellError> {
        let mut word = Word::default();
        loop {
            let Some(char) = self.peek() else {
                return if end.is_none() { Ok(word) } else { Err(self.wrong("a quotation has no end")) };
            };
            if Some(char) == end {
                self.at += 1;
                return Ok(word);
            }
            match char {
                '\\' if self.ahead("\\\n") => self.at += 2,
                '\\' => {
                    self.at += 1;
                    let next = self.peek().unwrap_or('\\');
                    if matches!(next, '$' | '`' | '\\') || (next == '"' && end.is_some()) {
                        self.at += 1;
                        word.text(next, true);
                    } else {
                        word.text('\\', true);
                    }
                }
                '$' | '`' => word.0.push(self.expansion(true)?),
                _ => {
                    self.at += 1;
                    word.text(char, true);
                }
            }
        }
    }

    fn expansion(&mut self, quoted: bool) -> Result<Piece, ShellError> {
        self.deeper("words")?;
        let piece = if self.take("`") {
            let mut text = String::new();
            loop {
                let char = self.peek().ok_or_else(|| self.wrong("'`' has no end"))?;
                self.at += 1;
                match char {
                    '`' => break,
                    '\\' if self.peek().is_some_and(|next| "$`\\".contains(next)) => {
                        text.extend(self.peek());
                        self.at += 1;
                    }
                    _ => text.push(char),
                }
            }
            let mut parser = Self::new(&text, self.depth);
            let body = parser.list(&[]).map_err(|error| self.wrong(error.what))?;
            if parser.at < parser.text.len() {
                return Err(self.wrong("this is no command"));
            }
            Piece::Command { body, quoted }
        } else if self.ahead("$((") {
            self.at += 3;
            let mut word = Word::default();
            let mut open = 2_usize;
            while open > 0 {
                match self.peek().ok_or_else(|| self.wrong("`$((` has no end"))? {
                    '$' | '`' => word.0.push(self.expansion(true)?),
                    char => {
                        self.at += 1;
                        open = open + usize::from(char == '(') - usize::from(char == ')');
                    }
                }
            }
            Piece::Arithmetic(word)
        } else if self.take("$(") {
            let body = self.list(&[])?;
            if !self.take(")") {
                return Err(self.wrong("`$(` has no end"));
            }
            Piece::Command { body, quoted }
        } else if self.take("${") {
            Piece::Parameter { parameter: self.braced(quoted)?, quoted }
        } else {
            self.at += 1;
            let mut name = String::new();
            while let Some(char) = self.peek() {
                let special = name.is_empty() && (char.is_ascii_digit() || "@*#?-$!".contains(char));
                if !(special || char == '_' || char.is_ascii_alphanumeric()) {
                    break;
                }
                name.push(char);
                self.at += 1;
                if special {
                    break;
                }
            }
            match (name.is_empty(), self.peek()) {
                (true, Some('\'' | '"')) if !quoted => return Err(self.wrong("`$'` is no POSIX shell")),
                (true, _) => Piece::Text { text: "$".to_owned(), quoted: true },
                _ => {
                    let parameter = Parameter { name, operator: None, length: false };
                    Piece::Parameter { parameter, quoted }
                }
            }
        };
        self.depth -= 1;
        Ok(piece)
    }

    fn braced(&mut self, quoted: bool) -> Result<Parameter, ShellError> {
        let length = self.ahead("#") && !self.ahead("#}") && self.take("#");
        let mut name = String::new();
        while let Some(char) = self.peek() {
            let special = name.is_empty() && "@*#?-$!".contains(char);
            if !(special || char == '_' || char.is_ascii_alphanumeric()) {
                break;
            }
            name.push(char);
            self.at += 1;
            if special {
                break;
            }
        }
        if name.is_empty() {
            return Err(self.wrong("`${` has no name"));
        }
        if self.take("}") {
            return Ok(Parameter { name, operator: None, length });
        }
        let operators = [":-", ":=", ":?", ":+", "%%", "##", "-", "=", "?", "+", "%", "#"];
        let Some(operator) = operators.into_iter().find(|operator| self.take(operator)) else {
            return Err(self.wrong("this `${…}` is no POSIX shell"));
        };
        let mut word = Word::default();
        loop {
            match self.peek().ok_or_else(|| self.wrong("`${` has no end"))? {
                '}' => break,
                '$' | '`' => word.0.push(self.expansion(quoted)?),
                '\\' => {
                    self.at += 1;
                    let next = self.peek().ok_or_else(|| self.wrong("nothing stands behind `\\`"))?;
                    self.at += 1;
                    word.text(next, true);
                }
                '\'' if !quoted => {
                    self.at += 1;
                    self.until_single_quote(&mut word)?;
                }
                '"' => {
                    self.at += 1;
                    let inner = self.quoted_until(Some('"'))?;
                    word.0.extend(inner.0);
                }
                char => {
                    self.at += 1;
                    word.text(char, quoted);
                }
            }
        }
        self.at += 1;
        Ok(Parameter { name, operator: Some((operator.to_owned(), word)), length })
    }
}

impl Word {
    fn text(&mut self, char: char, quote: bool) {
        if let Some(Piece::Text { text, quoted }) = self.0.last_mut()
            && *quoted == quote
        {
            text.push(char);
        } else {
            self.0.push(Piece::Text { text: char.to_string(), quoted: quote });
        }
    }
}

/// Whether it is a name of a variable or function; functions of scripts have dashes as well.
fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char == '_' || char.is_ascii_alphabetic())
        && text.chars().all(|char| char == '_' || char == '-' || char.is_ascii_alphanumeric())
}

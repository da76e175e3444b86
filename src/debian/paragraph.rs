/// Fields of a control file, in its order (Debian Policy Manual, 5.1). Continuation lines keep their newlines and lose
/// nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Paragraph(pub Vec<(String, String)>);

/// A line that is no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is neither a field nor the continuation of one")]
pub struct ParagraphError {
    /// From 1.
    pub line: usize,
}

impl Paragraph {
    /// The value of a field, by its name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The paragraphs of a control file.
pub fn paragraphs(text: &str) -> Result<Vec<Paragraph>, ParagraphError> {
    let mut found = Vec::new();
    let mut paragraph = Paragraph::default();
    for (index, line) in text.lines().enumerate() {
        let wrong = ParagraphError { line: index + 1 };
        if line.trim_end().is_empty() {
            if !paragraph.0.is_empty() {
                found.push(std::mem::take(&mut paragraph));
            }
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            let (_, value) = paragraph.0.last_mut().ok_or(wrong)?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':').ok_or(wrong)?;
            paragraph.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !paragraph.0.is_empty() {
        found.push(paragraph);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_continuations() {
        let text = "Package: a\nDescription: one\n two\n .\n\n# said\nPackage: b\n";
        let found = paragraphs(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("description"), Some("one\n two\n ."));
        assert_eq!(found[1].get("Package"), Some("b"));
        assert_eq!(
            paragraphs("nothing").unwrap_err().to_string(),
            "line 1 is neither a field nor the continuation of one"
        );
        assert_eq!(paragraphs(" x").unwrap_err().line, 1);
    }
}

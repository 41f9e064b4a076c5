//! What the text of a request is written in: as the request says, or as its name ends.

use std::path::Path;

use capsule_engine::{Answer, Language};
use capsule_spec::{ErrorCode, Failure, nearest};

use super::request::Request;

/// What text is written in, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) language: Language,
    pub(super) name: String,
}

/// The words of a request, and what a program of each is called that has no name.
const WORDS: [(&str, Language, &str); 3] = [
    ("python", Language::Python, "<source>"),
    ("typescript", Language::JavaScript, "main.ts"),
    ("javascript", Language::JavaScript, "main.js"),
];

impl Written {
    /// Of a program. Without a word about it, it is in Python.
    pub(super) fn of_source(request: &Request<'_>) -> Result<Self, Failure> {
        let told = told(request)?;
        let Some(name) = request.name.clone() else {
            let (language, name) = told.unwrap_or((Language::Python, WORDS[0].2));
            return Ok(Self { language, name: name.to_owned() });
        };
        let ending = Language::of(Path::new(&name));
        match (told, ending) {
            (Some((language, _)), Some(ending)) if language != ending => {
                let word = request.language.as_deref().unwrap_or_default();
                let message =
                    format!("the language is {word}, and the name {name:?} is no file of it");
                Err(Failure::new(ErrorCode::ConflictingOptions, message)
                    .hint("leave one of the two out: the name's ending tells the language, too"))
            }
            (Some((Language::JavaScript, default)), None) => {
                let message =
                    format!("{name:?} is no name of a program in TypeScript or JavaScript");
                Err(Failure::new(ErrorCode::InvalidValue, message)
                    .hint(format!("call it {default}, or leave the name out")))
            }
            (None, None) if Path::new(&name).extension().is_some() => {
                let message = format!("{name:?} does not tell the language of the source");
                Err(Failure::new(ErrorCode::InvalidValue, message)
                    .hint("names end in .py, .ts or .js; or say the language: \"python\", \"typescript\" or \"javascript\""))
            }
            (told, ending) => {
                let language = ending.or(told.map(|(language, _)| language));
                Ok(Self { language: language.unwrap_or(Language::Python), name })
            }
        }
    }

    /// Of a piece of code, whose name may be anything.
    pub(super) fn of_code(request: &Request<'_>) -> Result<Self, Failure> {
        let name = request.name.clone().unwrap_or_default();
        let ending = Language::of(Path::new(&name));
        let told = told(request)?.map(|(language, _)| language);
        Ok(Self { language: told.or(ending).unwrap_or(Language::Python), name })
    }

    /// An answer that says so if `source` looks as if it were in the other language.
    pub(super) fn explain(&self, source: &str, mut answer: Answer) -> Answer {
        let Err(error) = &mut answer.value else { return answer };
        let is_unread = error.error_type == "SyntaxError" || error.code == ErrorCode::InvalidSource;
        if is_unread && error.hint.is_none() {
            error.hint = match self.language {
                Language::Python if is_like_javascript(source) => Some(
                    "this looks like TypeScript: name it main.ts, or say the language \"typescript\"",
                ),
                Language::JavaScript if is_like_python(source) => {
                    Some("this looks like Python: name it main.py, or say the language \"python\"")
                }
                _ => None,
            }
            .map(str::to_owned);
        }
        answer
    }
}

fn told(request: &Request<'_>) -> Result<Option<(Language, &'static str)>, Failure> {
    let Some(word) = request.language.as_deref() else { return Ok(None) };
    if let Some((_, language, name)) = WORDS.iter().find(|(known, ..)| *known == word) {
        return Ok(Some((*language, name)));
    }
    let failure =
        Failure::new(ErrorCode::InvalidValue, format!("there is no language {word:?} here"));
    let known = WORDS.map(|(known, ..)| known);
    Err(match nearest(&word.to_ascii_lowercase(), known) {
        Some(meant) => failure.hint(format!("did you mean {meant:?}?")),
        None => failure.hint(format!("the languages are {}", known.join(", "))),
    })
}

fn is_like_javascript(text: &str) -> bool {
    const BEGINNINGS: [&str; 8] =
        ["export ", "const ", "let ", "var ", "function ", "interface ", "async function ", "//"];
    let is_import = |line: &str| line.starts_with("import ") && line.contains(['"', '\'']);
    lines(text)
        .any(|line| BEGINNINGS.iter().any(|begin| line.starts_with(begin)) || is_import(line))
}

fn is_like_python(text: &str) -> bool {
    let is_import = |line: &str| {
        let has_quote = line.contains(['"', '\'', '{']);
        (line.starts_with("import ") || line.starts_with("from ")) && !has_quote
    };
    lines(text)
        .any(|line| line.starts_with("def ") || line.starts_with("async def ") || is_import(line))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Written, Failure> {
        Written::of_source(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_word_or_the_ending_tells() {
        for (json, language, name) in [
            ("{}", Language::Python, "<source>"),
            (r#"{"name": "cell 3"}"#, Language::Python, "cell 3"),
            (r#"{"name": "a/b.py"}"#, Language::Python, "a/b.py"),
            (r#"{"name": "a/b.mts"}"#, Language::JavaScript, "a/b.mts"),
            (r#"{"language": "python"}"#, Language::Python, "<source>"),
            (r#"{"language": "python", "name": "cell 3.1"}"#, Language::Python, "cell 3.1"),
            (r#"{"language": "typescript"}"#, Language::JavaScript, "main.ts"),
            (r#"{"language": "javascript"}"#, Language::JavaScript, "main.js"),
            (r#"{"language": "javascript", "name": "x.ts"}"#, Language::JavaScript, "x.ts"),
        ] {
            assert_eq!(of(json).unwrap(), Written { language, name: name.to_owned() }, "{json}");
        }
    }

    #[test]
    fn a_wrong_one_is_told_with_a_hint() {
        for (json, code, hint) in [
            (r#"{"language": "ruby"}"#, ErrorCode::InvalidValue, "python, typescript, javascript"),
            (r#"{"language": "TypeScript"}"#, ErrorCode::InvalidValue, "mean \"typescript\""),
            (r#"{"language": ""}"#, ErrorCode::InvalidValue, "python, typescript"),
            (r#"{"name": "main.rb"}"#, ErrorCode::InvalidValue, "names end in"),
            (r#"{"language": "typescript", "name": "x"}"#, ErrorCode::InvalidValue, "main.ts"),
            (
                r#"{"language": "typescript", "name": "x.py"}"#,
                ErrorCode::ConflictingOptions,
                "leave one of the two out",
            ),
            (
                r#"{"language": "python", "name": "x.ts"}"#,
                ErrorCode::ConflictingOptions,
                "leave one of the two out",
            ),
        ] {
            let failure = of(json).unwrap_err();
            assert_eq!(failure.code, code, "{json}");
            assert!(failure.hint.as_deref().unwrap().contains(hint), "{json}: {failure}");
        }
    }

    #[test]
    fn code_may_have_any_name() {
        for (json, language) in [
            ("{}", Language::Python),
            (r#"{"name": "cell 3.1"}"#, Language::Python),
            (r#"{"name": "code.js"}"#, Language::JavaScript),
            (r#"{"name": "cell 3.1", "language": "javascript"}"#, Language::JavaScript),
        ] {
            let request = serde_json::from_str(json).unwrap();
            assert_eq!(Written::of_code(&request).unwrap().language, language, "{json}");
        }
    }

    #[test]
    fn the_other_language_is_recognised() {
        for text in ["import { a } from 'b';", "export const x = 1;", "\n  \nlet x: number"] {
            assert!(is_like_javascript(text) && !is_like_python(text), "{text}");
        }
        for text in ["import os", "from os import path", "x = 1\ndef main():\n  pass"] {
            assert!(is_like_python(text) && !is_like_javascript(text), "{text}");
        }
        assert!(!is_like_javascript("x +") && !is_like_python("x +"));
    }
}

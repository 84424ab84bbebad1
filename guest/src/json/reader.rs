//! Reads a document in one pass. What it takes is what serde_json takes; what it does not take, serde_json is asked about.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Number;

use super::scan::special;
use super::{Json, Rule, Written};

/// How deep a document may be. Deeper ones are left to serde_json.
const DEEPEST: u32 = 64;

/// The whole numbers of so many digits fit into 64 bits.
const SHORT: usize = 18;

/// Room for an unescaped text at first; what is longer grows.
const ROOM: usize = 64 * 1024;

/// A document; nothing if it is none, or if that is not easily said.
pub fn read(text: &str, rule: Rule) -> Option<Json<'_>> {
    let mut reader = Reader { text, at: 0 };
    let document = reader.value(rule, DEEPEST)?;
    reader.next().is_none().then_some(document)
}

struct Reader<'a> {
    text: &'a str,
    /// How much of it has been read.
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not space; nothing at the end.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            // Nearly always.
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Reads this byte, after space.
    #[inline]
    fn expect(&mut self, wanted: u8) -> Option<()> {
        if self.next()? != wanted {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Goes on after an element: whether there is another one, or the closing byte.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            _ if byte == close => Some(false),
            _ => None,
        }
    }

    /// Whether what has just been opened is empty, and then reads its end.
    fn is_empty(&mut self, close: u8) -> Option<bool> {
        let is_empty = self.next()? == close;
        self.at += usize::from(is_empty);
        Some(is_empty)
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        self.skip_word(word)?;
        Some(value)
    }

    fn skip_word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then_some(())?;
        self.at += word.len();
        Some(())
    }

    fn value(&mut self, rule: Rule, depth: u32) -> Option<Json<'a>> {
        match self.next()? {
            b'"' => self.string().map(Json::Text),
            b'{' => self.object(rule, depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            _ => self.number().map(Json::Number),
        }
    }

    fn object(&mut self, rule: Rule, depth: u32) -> Option<Json<'a>> {
        self.at += 1;
        let mut members = rule.room();
        if self.is_empty(b'}')? {
            return Some(Json::Object(members));
        }
        loop {
            let key = self.key()?;
            let value = if rule.passes_on(&key) {
                self.written()?
            } else {
                self.value(rule.inside(), depth)?
            };
            members.push((key, value));
            if !self.goes_on(b'}')? {
                return Some(Json::Object(members));
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<Json<'a>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.is_empty(b']')? {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(Rule::SMALL, depth)?);
            if !self.goes_on(b']')? {
                return Some(Json::Array(items));
            }
        }
    }

    /// The name of a member, and the colon.
    fn key(&mut self) -> Option<Cow<'a, str>> {
        if self.next()? != b'"' {
            return None;
        }
        let key = self.string()?;
        self.expect(b':')?;
        Some(key)
    }

    /// A string, whose quote is the next byte.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let end = special(bytes, start)?;
        let plain = self.text.get(start..end)?;
        match bytes.get(end)? {
            b'"' => {
                self.at = end + 1;
                Some(Cow::Borrowed(plain))
            }
            b'\\' => {
                self.at = end;
                self.unescaped(plain).map(Cow::Owned)
            }
            _ => None,
        }
    }

    /// The rest of a string, which begins with a backslash, behind what stands before that.
    fn unescaped(&mut self, plain: &str) -> Option<String> {
        let bytes = self.text.as_bytes();
        let left = bytes.len() - self.at;
        let mut text = String::with_capacity(plain.len() + left.min(ROOM));
        text.push_str(plain);
        loop {
            self.at += 1;
            let escape = self.byte()?;
            self.at += 1;
            text.push(match escape {
                b'n' => '\n',
                b'"' | b'\\' | b'/' => char::from(escape),
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'u' => self.code_point()?,
                _ => return None,
            });
            let end = special(bytes, self.at)?;
            text.push_str(self.text.get(self.at..end)?);
            self.at = end;
            match bytes.get(end)? {
                b'"' => {
                    self.at += 1;
                    return Some(text);
                }
                b'\\' => {}
                _ => return None,
            }
        }
    }

    /// The character of a `\uXXXX`, or of two that are a pair.
    fn code_point(&mut self) -> Option<char> {
        let unit = self.hex()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        self.skip_word("\\u")?;
        let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((unit - 0xd800) << 10 | low))
    }

    /// Four hexadecimal digits.
    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |number, digit| {
            Some(number << 4 | char::from(*digit).to_digit(16)?)
        })
    }

    fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let is_whole = self.skip_number()?;
        let number = self.text.get(start..self.at)?;
        if is_whole && number.len() <= SHORT && number != "-0" {
            let whole: i64 = number.parse().ok()?;
            return Some(u64::try_from(whole).map_or_else(|_| whole.into(), Number::from));
        }
        serde_json::from_str(number).ok()
    }

    /// Whether the number is a whole one.
    fn skip_number(&mut self) -> Option<bool> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let first = self.at;
        self.skip_digits()?;
        // Nothing may follow a zero but a fraction or an exponent.
        if self.text.as_bytes().get(first) == Some(&b'0') && self.at > first + 1 {
            return None;
        }
        let mut is_whole = true;
        if self.byte() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            is_whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Some(is_whole)
    }

    /// At least one.
    fn skip_digits(&mut self) -> Option<()> {
        let first = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > first).then_some(())
    }

    /// A value that is passed on: texts and literals are read, all else stays as it was written.
    fn written(&mut self) -> Option<Json<'a>> {
        if let b'"' | b'n' | b't' | b'f' = self.next()? {
            return self.value(Rule::SMALL, DEEPEST);
        }
        let start = self.at;
        self.skip_value()?;
        let written = self.text.get(start..self.at)?;
        Some(Json::Written(Written(written)))
    }

    /// Skips any value.
    fn skip_value(&mut self) -> Option<()> {
        // A bit for each that is open, the lowest for the innermost: whether it is an object.
        let mut objects: u64 = 0;
        let mut depth = 0;
        loop {
            // A value.
            match self.next()? {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = open == b'{';
                    if !self.is_empty(if is_object { b'}' } else { b']' })? {
                        if depth == DEEPEST {
                            return None;
                        }
                        depth += 1;
                        objects = objects << 1 | u64::from(is_object);
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.skip_string()?,
                b'n' => self.skip_word("null")?,
                b't' => self.skip_word("true")?,
                b'f' => self.skip_word("false")?,
                _ => {
                    self.skip_number()?;
                }
            }
            // What follows it.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let is_object = objects & 1 == 1;
                if self.goes_on(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.skip_key()?;
                    }
                    break;
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn skip_key(&mut self) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        self.skip_string()?;
        self.expect(b':')
    }

    /// Skips a string, whose quote is the next byte. Half a pair of surrogates is no matter in what is not read.
    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at = special(self.text.as_bytes(), self.at)?;
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    self.at += 1;
                    let escape = self.byte()?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            self.hex()?;
                        }
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
    }
}

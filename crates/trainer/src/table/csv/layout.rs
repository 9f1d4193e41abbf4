//! The header line and the kind of each column, told from the first rows.

use memchr::memchr_iter;

use super::text;
use crate::table::{Kind, MAX_COLUMNS, MAX_NAME_BYTES, Place, Problem, ReadOptions, TableError, header, is_missing, time};

/// Rows whose cells decide what a column is.
pub const SAMPLE_ROWS: usize = 1_000;

/// Where words are rarer than this among numbers, they are typos and no categories.
const NUMBERS_PER_TYPO: usize = 100;

/// What is known of a CSV file before its rows are read.
#[derive(Debug)]
pub struct Layout {
    /// All columns of the file, in its order.
    pub fields: Vec<Field>,
    /// The header as it is written, without its line end: a row that repeats it is a mistake.
    pub header: Vec<u8>,
    /// Where the first row begins.
    pub body_start: usize,
    /// Lines before the first row.
    pub header_lines: u64,
}

/// A column of a CSV file.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its cells are; `None` when they are not read.
    pub kind: Option<Kind>,
}

impl Layout {
    /// Whether the row at `start` repeats the header.
    #[inline]
    pub fn is_header(&self, bytes: &[u8], start: usize) -> bool {
        bytes[start..]
            .strip_prefix(self.header.as_slice())
            .is_some_and(|rest| matches!(rest, b"" | b"\r" | [b'\n', ..] | [b'\r', b'\n', ..]))
    }
}

/// Understands the first bytes of a file, of which `head` is all when `head_is_all`.
pub fn layout(head: &[u8], head_is_all: bool, file: &str, options: &ReadOptions) -> Result<Layout, TableError> {
    let body_of_text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let mark_bytes = head.len() - body_of_text.len();
    if body_of_text.iter().all(u8::is_ascii_whitespace) {
        return Err(TableError::of_file(file, Problem::Empty));
    }
    let in_header = |problem| {
        let place = Place { line: Some(1), ..Place::default() };
        TableError::at(file, place, problem)
    };
    let (names, names_end) =
        header_names(head, mark_bytes).map_err(|problem| in_header(foreign_separator(problem, body_of_text)))?;
    check_header(&names).map_err(in_header)?;
    let header_line = &head[mark_bytes..names_end];
    let header = header_line.strip_suffix(b"\n").unwrap_or(header_line);
    let mut layout = Layout {
        fields: Vec::new(),
        header: header.strip_suffix(b"\r").unwrap_or(header).to_vec(),
        body_start: names_end,
        header_lines: memchr_iter(b'\n', header_line).count() as u64,
    };
    options.check_names(&names).map_err(|problem| TableError::of_file(file, problem))?;
    let undecided: Vec<bool> = names.iter().map(|name| options.reads(name) && options.known_kind(name).is_none()).collect();
    let evidence = sample(head, head_is_all, &layout, &undecided);
    if evidence.text_row_first {
        let place = Place { row: Some(1), line: Some(1 + layout.header_lines), column: None };
        return Err(TableError::at(file, place, Problem::TextRowFirst));
    }
    layout.fields = fields(names, &evidence.kinds, options);
    Ok(layout)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn header_names(head: &[u8], start: usize) -> Result<(Vec<String>, usize), Problem> {
    let mut names = Vec::new();
    let mut at = start;
    loop {
        let cell = text::cell(head, at)?;
        at = cell.next;
        if at - start > super::MAX_ROW_BYTES {
            return Err(Problem::LongRow(super::MAX_ROW_BYTES));
        }
        if names.len() == MAX_COLUMNS {
            return Err(Problem::TooManyColumns);
        }
        if cell.text.len() > MAX_NAME_BYTES {
            return Err(Problem::LongName { position: names.len() + 1 });
        }
        names.push(String::from_utf8(cell.text.into_owned()).map_err(|_| Problem::NotUtf8)?);
        if cell.ends_row {
            return Ok((names, at));
        }
    }
}

/// What separates cells in other programs' files, and its name.
const FOREIGN_SEPARATORS: [(char, &str); 2] = [(';', "semicolons"), ('\t', "tabs")];

/// A quoted name with a semicolon behind it is not so much a wrong quote as a wrong separator.
fn foreign_separator(problem: Problem, text: &[u8]) -> Problem {
    let first_line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let separates = |separator: char| first_line.windows(3).any(|three| three == format!("\"{separator}\"").as_bytes());
    match problem {
        Problem::TextAfterQuote => FOREIGN_SEPARATORS
            .into_iter()
            .find(|(separator, _)| separates(*separator))
            .map_or(Problem::TextAfterQuote, |(_, name)| Problem::WrongSeparator(name)),
        other => other,
    }
}

/// What only text files do wrong, and then what any file can.
fn check_header(names: &[String]) -> Result<(), Problem> {
    if let [name] = names {
        for (separator, description) in FOREIGN_SEPARATORS {
            if name.contains(separator) {
                return Err(Problem::WrongSeparator(description));
            }
        }
    }
    if names.iter().all(|name| assay_decimal::parse(name.as_bytes()).is_some()) {
        return Err(Problem::NumericHeader);
    }
    header::check_names(names)
}

struct Evidence {
    kinds: Vec<Kind>,
    /// In the columns whose kind is not told, the first row has nothing but text and all others nothing but numbers.
    text_row_first: bool,
}

/// Looks at the first rows. Stops before a row that is wrong: who reads the rows says what is wrong with it.
fn sample(head: &[u8], head_is_all: bool, layout: &Layout, undecided: &[bool]) -> Evidence {
    let mut first_row = Vec::new();
    let mut later_rows = vec![Looks::default(); undecided.len()];
    let mut rows = 0;
    let mut at = layout.body_start;
    while rows < SAMPLE_ROWS && at < head.len() && !layout.is_header(head, at) {
        if undecided.len() > 1
            && let Some(next) = text::after_blank_line(head, at)
        {
            at = next;
            continue;
        }
        let Some((row, next)) = whole_row(head, at, undecided.len()) else {
            break;
        };
        if next == head.len() && !head_is_all {
            break;
        }
        let of_row = row.iter().map(|cell| Looks::of(cell));
        if rows == 0 {
            first_row = of_row.collect();
        } else {
            later_rows.iter_mut().zip(of_row).for_each(|(total, one)| total.add(&one));
        }
        rows += 1;
        at = next;
    }
    let mut pairs = undecided.iter().zip(first_row.iter().zip(&later_rows)).filter(|(undecided, _)| **undecided);
    let text_row_first = undecided.contains(&true)
        && rows > 1
        && pairs.all(|(_, (first, later))| first.is_text() && later.filled > 0 && later.numbers == later.filled);
    later_rows.iter_mut().zip(&first_row).for_each(|(total, one)| total.add(one));
    Evidence { kinds: later_rows.iter().map(Looks::kind).collect(), text_row_first }
}

fn whole_row(head: &[u8], start: usize, width: usize) -> Option<(Vec<std::borrow::Cow<'_, [u8]>>, usize)> {
    let mut row = Vec::with_capacity(width);
    let mut at = start;
    for position in 1..=width {
        let cell = text::cell(head, at).ok()?;
        if cell.ends_row != (position == width) {
            return None;
        }
        at = cell.next;
        row.push(cell.text);
    }
    Some((row, at))
}

/// How many cells look like what.
#[derive(Clone, Default)]
struct Looks {
    filled: usize,
    numbers: usize,
    times: usize,
}

impl Looks {
    fn of(cell: &[u8]) -> Self {
        let filled = !is_missing(cell);
        let is_number = filled && assay_decimal::parse(cell).is_some();
        let is_time = filled && !is_number && time::parse(cell).is_some();
        Self { filled: filled.into(), numbers: is_number.into(), times: is_time.into() }
    }

    fn is_text(&self) -> bool {
        self.filled > 0 && self.numbers + self.times == 0
    }

    fn add(&mut self, other: &Self) {
        self.filled += other.filled;
        self.numbers += other.numbers;
        self.times += other.times;
    }

    /// A column that is empty so far is taken for numbers, and so is one with a word among a hundred numbers: a typo, which is refused
    /// where it stands once the rows are read.
    fn kind(&self) -> Kind {
        let words = self.filled - self.numbers;
        if words * NUMBERS_PER_TYPO <= self.numbers {
            Kind::Numbers
        } else if self.times == self.filled {
            Kind::Times
        } else {
            Kind::Categories
        }
    }
}

fn fields(names: Vec<String>, sampled: &[Kind], options: &ReadOptions) -> Vec<Field> {
    let field = |(name, &sampled): (String, &Kind)| {
        let kind = options.reads(&name).then(|| options.known_kind(&name).unwrap_or(sampled));
        Field { name, kind }
    };
    names.into_iter().zip(sampled).map(field).collect()
}

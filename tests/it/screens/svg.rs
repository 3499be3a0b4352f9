//! A screen as a picture: SVG with its own background, so that it is readable on a light and on a dark page.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// One cell, in pixels.
const CELL: (f64, f64) = (8.5, 19.0);

/// Around the screen, in pixels.
const EDGE: f64 = 14.0;

/// The height of a whole block: rows stay apart.
const BLOCK: f64 = 15.0;

/// The baseline of letters within their cell.
const BASE: f64 = 14.0;

/// The buffer as SVG; `says` is the text for users of a screen reader.
pub(crate) fn svg(buffer: &Buffer, reports: &str) -> String {
    let mut text = begin((buffer.area.width, buffer.area.height), reports);
    for y in 0..buffer.area.height {
        draw_row(&mut text, buffer, y, top(y));
    }
    text.push_str("</svg>\n");
    text
}

/// The beginning of a picture of this many columns and lines: its background, and its title.
pub(crate) fn begin(size: (u16, u16), reports: &str) -> String {
    let (width, height) = (f64::from(size.0) * CELL.0, f64::from(size.1) * CELL.1);
    let (width, height) = (width + 2.0 * EDGE, height + 2.0 * EDGE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#0d1117\"/>\n",
        escaped(reports)
    )
}

/// The top of a line.
pub(crate) fn top(y: u16) -> f64 {
    EDGE + f64::from(y) * CELL.1
}

/// One line, drawn at the top.
pub(crate) fn row(buffer: &Buffer, y: u16) -> String {
    let mut text = String::new();
    draw_row(&mut text, buffer, y, 0.0);
    text
}

fn draw_row(text: &mut String, buffer: &Buffer, y: u16, top: f64) {
    let row: Vec<&Cell> = (0..buffer.area.width).map(|x| &buffer[(x, y)]).collect();
    let mut x = 0;
    while x < row.len() {
        let run = run(&row[x..]);
        let left = EDGE + x as f64 * CELL.0;
        draw(text, &row[x..x + run], (left, top));
        x += run;
    }
}

/// How many cells are drawn at once: the same block again and again, or words of one style with single blanks between.
fn run(row: &[&Cell]) -> usize {
    let first = row[0];
    if first.symbol() == " " || block(first.symbol()).is_some() {
        return row
            .iter()
            .take_while(|cell| cell.symbol() == first.symbol() && look(cell) == look(first))
            .count();
    }
    let mut length = 0;
    for (place, cell) in row.iter().enumerate() {
        if cell.symbol() == " " {
            if row.get(place + 1).is_none_or(|next| next.symbol() == " ") {
                break;
            }
        } else if look(cell) != look(first) || block(cell.symbol()).is_some() {
            break;
        } else {
            length = place + 1;
        }
    }
    length
}

fn draw(text: &mut String, cells: &[&Cell], (left, top): (f64, f64)) {
    let symbol = cells[0].symbol();
    let width = cells.len() as f64 * CELL.0;
    let look = look(cells[0]);
    if let Some((across, up, strength)) = block(symbol) {
        // A part of a cell is drawn alone; whole ones are joined.
        let (width, height) = if across < 1.0 { (CELL.0 * across, BLOCK) } else { (width, BLOCK * up) };
        let _ = writeln!(
            text,
            "<rect x=\"{left}\" y=\"{:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill-opacity=\"{strength}\" {look}/>",
            top + BASE + 2.0 - height
        );
    } else if symbol != " " {
        let words: String = cells.iter().map(|cell| cell.symbol()).collect();
        let _ = writeln!(
            text,
            "<text x=\"{left}\" y=\"{}\" textLength=\"{width}\" {look}>{}</text>",
            top + BASE,
            escaped(&words)
        );
    }
}

/// The part of the cell that a block fills, across and up, and how densely.
fn block(symbol: &str) -> Option<(f64, f64, f64)> {
    let letter = symbol.chars().next()?;
    let eighths = |from: char| f64::from(u32::from(letter) - u32::from(from) + 1) / 8.0;
    match letter {
        '▁'..='█' => Some((1.0, eighths('▁'), 1.0)),
        '▉'..='▏' => Some((1.0 - eighths('▉'), 1.0, 1.0)),
        '░' => Some((1.0, 1.0, 0.25)),
        '▒' => Some((1.0, 1.0, 0.5)),
        _ => None,
    }
}

/// Colour and weight, as attributes.
fn look(cell: &Cell) -> String {
    let colour = match cell.fg {
        Color::Indexed(65) => "#7ee787",
        Color::Indexed(166) => "#e3b341",
        Color::Indexed(197) => "#ff7b72",
        Color::Indexed(33) => "#79c0ff",
        _ if cell.modifier.contains(Modifier::DIM) => "#8b949e",
        _ => "#e6edf3",
    };
    let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    format!("fill=\"{colour}\"{weight}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

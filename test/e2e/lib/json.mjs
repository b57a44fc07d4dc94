// The raw text of one member of a JSON object: what "byte for byte" is checked with.

function skipString(text, at) {
  let i = at + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function skipSpace(text, at) {
  let i = at;
  while (' \t\r\n'.includes(text[i]) && i < text.length) i += 1;
  return i;
}

/** The position behind the JSON value that begins at `at`; the text is known to be JSON. */
function skipValue(text, at) {
  if (text[at] === '"') return skipString(text, at);
  if (text[at] !== '{' && text[at] !== '[') {
    let i = at;
    while (i < text.length && !',}] \t\r\n'.includes(text[i])) i += 1;
    return i;
  }
  let depth = 0;
  let i = at;
  do {
    if (text[i] === '"') {
      i = skipString(text, i);
      continue;
    }
    if (text[i] === '{' || text[i] === '[') depth += 1;
    if (text[i] === '}' || text[i] === ']') depth -= 1;
    i += 1;
  } while (depth > 0);
  return i;
}

/** The members of a JSON object as [name, raw text of the value], in the order written. */
export function rawMembers(text) {
  JSON.parse(text);
  const members = [];
  let i = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[i] !== '}') {
    const nameEnd = skipString(text, i);
    const name = JSON.parse(text.slice(i, nameEnd));
    i = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = skipValue(text, i);
    members.push([name, text.slice(i, end)]);
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return members;
}

export function rawMember(text, name) {
  const found = rawMembers(text).filter(([n]) => n === name);
  if (found.length > 1) throw new Error(`member ${name} stands ${found.length} times`);
  return found.length === 1 ? found[0][1] : undefined;
}

/** The raw texts of the elements of a JSON array. */
export function rawElements(text) {
  JSON.parse(text);
  const elements = [];
  let i = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[i] !== ']') {
    const end = skipValue(text, i);
    elements.push(text.slice(i, end));
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return elements;
}

// The data of the page: the columns of all trajectories, and their rows, which are unpacked when they are shown. Both
// are compressed by gzip, and either embedded in the page as base64 or fetched from the server.

const KEPT_CHUNKS = 64;
const TYPES = { Uint8Array, Uint16Array, Uint32Array, Float64Array };

async function unpacked(name) {
  const stream = new Blob([await packed(name)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function packed(name) {
  if (document.getElementById("columns")) {
    const text = document.getElementById(name).textContent;
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  }
  let answer;
  try {
    answer = await fetch(name);
  } catch {
    throw new Error("The server does not answer; run stride rollouts again and open the address it prints.");
  }
  if (answer.status === 410) throw new Error((await answer.text()).trim()); // a file of the run was replaced
  if (!answer.ok) throw new Error(`The server answered ${answer.status}; load the page again.`);
  return answer.arrayBuffer();
}

// The header that rl/viewer/columns.py packs, with `columns` as typed arrays by name.
async function loadColumns() {
  const buffer = await unpacked("columns");
  const size = 4 + new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size - 4)));
  const columns = {};
  for (const [name, place] of Object.entries(header.columns)) {
    columns[name] = new TYPES[place.type](buffer, size + place.at, header.num);
  }
  return { ...header, columns };
}

class Rows {
  constructor(starts) {
    this.starts = starts;
    this.kept = new Map(); // chunk number -> promise of its lines, the one used last at the end
  }

  // Rows by number, each chunk unpacked once. `group` is the column of groups: the prompt as the model got it is in
  // the first row of each group, and every row gets it from there.
  async read(numbers, group) {
    const read = Array.from(numbers, async (number) => {
      let first = number;
      while (first > 0 && group[first - 1] === group[number]) first--;
      const { rendered_prompt } = await this.row(first);
      return { ...(await this.row(number)), rendered_prompt };
    });
    return Promise.all(read);
  }

  async row(number) {
    const chunk = this.chunkOf(number);
    const lines = await this.lines(chunk);
    return JSON.parse(lines[number - this.starts[chunk]]);
  }

  chunkOf(number) {
    let low = 0;
    let high = this.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= number) low = middle;
      else high = middle;
    }
    return low;
  }

  lines(chunk) {
    const lines = this.kept.get(chunk) ?? this.unpack(chunk);
    this.kept.delete(chunk);
    this.kept.set(chunk, lines);
    if (this.kept.size > KEPT_CHUNKS) this.kept.delete(this.kept.keys().next().value);
    return lines;
  }

  async unpack(chunk) {
    try {
      return new TextDecoder().decode(await unpacked(`chunk-${chunk}`)).split("\n");
    } catch (error) {
      this.kept.delete(chunk); // the next read tries again
      throw error;
    }
  }
}

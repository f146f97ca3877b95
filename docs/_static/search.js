/* Search with two parts: the first answers of `interpolants find`, then pages.
 *
 * Answers are ranked as in src/interpolants/runs/search.py, by the index that docs/site_search.py writes (FIND_INDEX).
 * Pages are ranked by all words of a question, and need none of them, whereas Sphinx drops a page that lacks one. A page
 * has, for each word, the rarity of that word times 1 where it is in the text, 3 in a heading, 5 in the title. The
 * heading with most of the words is where the result leads. Nothing is sent anywhere.
 */
"use strict";

const Answers = {
  most: 3,
  least: 4, // lower scores are words in passing, e.g. in the limits of a member

  tokens: (text) => {
    const bare = text.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/\p{Mark}/gu, "").replaceAll("_", " ");
    const found = bare.match(/[a-z0-9]+(?:-[a-z0-9]+)*/g) ?? [];
    return found.flatMap((token) => (token.includes("-") ? [token, ...token.split("-")] : [token]));
  },

  stem: (index, token) => {
    for (const [suffix, replacement] of index.suffixes) {
      if (token.endsWith(suffix) && token.length - suffix.length >= (replacement ? 3 : 4)) {
        return token.slice(0, -suffix.length) + replacement;
      }
    }
    return token;
  },

  /* Weight times rarity of a token in an entry, or of its best synonym. */
  value: (index, token, weights) => {
    const worth = (stem) => (Object.hasOwn(weights, stem) ? weights[stem] * index.rarity[stem] : 0);
    const synonyms = Object.hasOwn(index.synonyms, token) ? index.synonyms[token] : [];
    return Math.max(worth(Answers.stem(index, token)), ...synonyms.map((stem) => index.synonym * worth(stem)));
  },

  /* Entries with their scores, best first. */
  rank: (index, question) => {
    const all = Answers.tokens(question);
    const telling = all.filter((token) => !index.stop_words.includes(token));
    const tokens = telling.length ? telling : all;
    const order = (a, b) => b.score - a.score || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.id < b.id ? -1 : 1);
    return index.entries
      .map((entry) => {
        const values = tokens.map((token) => Answers.value(index, token, entry.weights));
        const matched = values.filter((value) => value > 0).length / Math.max(values.length, 1);
        return { ...entry, score: values.reduce((sum, value) => sum + value, 0) * matched ** 2 * entry.factor };
      })
      .filter((entry) => entry.score > 0)
      .sort(order);
  },

  /* Answers that the page shows. */
  shown: (index, question) =>
    Answers.rank(index, question).filter((entry) => entry.score >= Answers.least).slice(0, Answers.most),
};

const SearchWords = {
  /* Pages that tell of details, or of the past, come after those that help at once. */
  weight: (page) => {
    if (page.startsWith("docs/design/") || page.startsWith("docs/release/") || page === "CHANGELOG" || page === "docs/renamed") return 0.6;
    if (page === "docs/bibliography" || page === "docs/methods/README") return 0.6; // long lists of everything
    if (page === "docs/glossary") return 1.3; // it says what a word means
    if (page.startsWith("studies/") || page.startsWith("docs/reference/") || page === "BENCHMARKS") return 0.8;
    return 1;
  },

  stems: (text, stem) => {
    const words = text.toLowerCase().split(/[^\p{Letter}\p{Number}_]+/u).filter((word) => word);
    const telling = words.filter((word) => !FIND_INDEX.stop_words.includes(word));
    return [...new Set((telling.length ? telling : words).map(stem))];
  },

  /* Pages that hold a word of an index of words; a word that is in none stands for those that begin like it. */
  holders: (index, word) => {
    const own = Object.hasOwn(index, word) ? [index[word]] : [];
    const near = own.length || word.length < 4 ? own : Object.keys(index).filter((w) => w.startsWith(word)).map((w) => index[w]);
    return new Set(near.flat());
  },

  /* Best first: [page's number, heading or null, anchor, score]. */
  rank: (index, question, stem) => {
    const count = index.docnames.length;
    const score = new Array(count).fill(0);
    const rarity = {};
    for (const word of SearchWords.stems(question, stem)) {
      const text = SearchWords.holders(index.terms, word);
      const heading = SearchWords.holders(index.titleterms, word);
      const found = new Set([...text, ...heading]);
      if (!found.size) continue; // a word that no page has tells nothing
      rarity[word] = Math.log(1 + count / (1 + found.size));
      for (const page of found) score[page] += rarity[word] * (heading.has(page) ? 3 : 1);
    }
    const asked = Object.values(rarity).reduce((sum, value) => sum + value, 0) || 1;
    const best = new Map();
    for (const [heading, places] of Object.entries(index.alltitles)) {
      const words = SearchWords.stems(heading, stem);
      const hits = words.filter((word) => Object.hasOwn(rarity, word));
      const share = hits.reduce((sum, word) => sum + rarity[word], 0);
      const worth = ((share * share) / asked) * (0.5 + (0.5 * hits.length) / Math.max(words.length, 1)); // of the question; of the heading
      for (const [page, anchor] of places) {
        if (worth > (best.get(page)?.worth ?? 0)) best.set(page, { worth, heading, anchor });
      }
    }
    for (const [page, { worth, anchor }] of best) score[page] += worth * (anchor === null ? 3 : 2);
    return score
      .map((sum, page) => [page, best.get(page)?.heading ?? null, best.get(page)?.anchor ?? null, sum * SearchWords.weight(index.docnames[page])])
      .filter((result) => result[3] > 0)
      .sort((a, b) => b[3] - a[3]);
  },

  /* Results as Sphinx shows them, the best last: answers come first, then names of classes and functions. */
  results: (search, query, objects) => {
    const index = search._index;
    const stemmer = new Stemmer();
    const pages = SearchWords.rank(index, query, (word) => stemmer.stemWord(word)).slice(0, 30).map(([page, heading, anchor, score]) => {
      const title = anchor === null || heading === null ? index.titles[page] : `${index.titles[page]} > ${heading}`;
      return [index.docnames[page], title, anchor === null ? "" : "#" + anchor, null, score, index.filenames[page], "text"];
    });
    const named = objects.size === 1 ? search.performObjectSearch([...objects][0], objects).filter((found) => found[4] >= 11) : [];
    const answers = Answers.shown(FIND_INDEX, query).map((entry) => {
      const [page, anchor] = entry.address.split("#");
      return [page, entry.title, anchor ? "#" + anchor : "", entry.call, entry.score, page, "answer"];
    });
    return [...pages.reverse(), ...named.sort((a, b) => a[4] - b[4]).slice(-5), ...answers.reverse()];
  },
};

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    if (typeof Search === "undefined") return; // not the page of the search
    Search._performSearch = (query, terms, excluded, highlight, objects) => SearchWords.results(Search, query, objects);
  });
}

/* Search that ranks pages by all words of a question, and needs none of them: what Sphinx brings drops a page that lacks one.
 *
 * A page has, for each word, the rarity of that word times 1 where it is in the text, 3 in a heading, 5 in the title. The heading that
 * has most of the words is where the result leads. Sphinx's index is used as it is; nothing is sent anywhere.
 */
"use strict";

const SearchWords = {
  /* Words of questions that say nothing of their subject. */
  idle: new Set(
    ("a about am an and any are as at be been but by can could did do does for from get give go had has have how i if in into is it its "
     + "just like make many me much my need no of on one or our out own please should show so some than that the their them then there "
     + "these they thing this to too up us use used using want was way we were what when where which who why will with without would you "
     + "your").split(" ")),

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
    const telling = words.filter((word) => !SearchWords.idle.has(word));
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

  /* Results as Sphinx shows them, the best last; names of classes and functions come first. */
  results: (search, query, objects) => {
    const index = search._index;
    const stemmer = new Stemmer();
    const pages = SearchWords.rank(index, query, (word) => stemmer.stemWord(word)).slice(0, 30).map(([page, heading, anchor, score]) => {
      const title = anchor === null || heading === null ? index.titles[page] : `${index.titles[page]} > ${heading}`;
      return [index.docnames[page], title, anchor === null ? "" : "#" + anchor, null, score, index.filenames[page], "text"];
    });
    const named = objects.size === 1 ? search.performObjectSearch([...objects][0], objects).filter((found) => found[4] >= 11) : [];
    return [...pages.reverse(), ...named.sort((a, b) => a[4] - b[4]).slice(-5)];
  },
};

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    if (typeof Search === "undefined") return; // not the page of the search
    Search._performSearch = (query, terms, excluded, highlight, objects) => SearchWords.results(Search, query, objects);
  });
}

// Ranks pages of the guide above raw results and the changelog. The numbers are Sphinx's own.
var Scorer = {
  score: (result) => (/^(results\/|changelog)/.test(result[0]) ? result[4] - 20 : result[4]),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

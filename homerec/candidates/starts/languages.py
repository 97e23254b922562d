"""Which languages listeners follow, for :mod:`homerec.candidates.starts`.

Who follows a language starts what is in it like everything else; who does not follow it starts that
rarely, however well it would please. There is nothing between the two, so this is no factor: each
listener follows each language with a probability, which their own starts tell and, where they tell
nothing, how many listeners of the market follow it.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from scipy import special

from homerec.candidates.starts.crowds import Crowds
from homerec.candidates.starts.vectors import Doubles, Integers
from homerec.compiling import compiled

#: Of expectation maximisation, between two steps of the listeners' places.
_STEPS: Final = 10
#: Nobody follows a language with a smaller probability, or a larger one than 1 less it.
_SURE: Final = 1e-9


@dataclass(frozen=True)
class Languages:
    """What is known of the languages that listeners follow, before their own starts are read.

    Attributes
    ----------
    share : float64 (n_markets + 1, n_languages)
        Share of the listeners who follow a language, in (0, 1); the last row is for markets that
        are not known.
    foreign : float
        How many times as likely somebody starts what is in a language they do not follow, in
        (0, 1).
    """

    share: Doubles
    foreign: float

    @classmethod
    def begin(cls, n_markets: int, n_languages: int, foreign: float) -> Self:
        """Where a fit begins: most follow every language."""
        return cls(np.full((n_markets + 1, n_languages), 0.8), foreign)

    def followed(self, times: Doubles, markets: Integers) -> Doubles:
        """Tell from places who follows what.

        Parameters
        ----------
        times : float64 (n, n_languages)
            Logs of what languages multiply the listeners' odds by, as :func:`heed` finds them.
        markets : int64 (n,)

        Returns
        -------
        float64 (n, n_languages)
            Probabilities.
        """
        usual = self.share + (1.0 - self.share) * self.foreign
        odds = np.exp(times) * usual[markets]
        followed: Doubles = np.clip((odds - self.foreign) / (1.0 - self.foreign), 0.0, 1.0)
        return followed

    def learn(self, times: Doubles, markets: Integers) -> "Languages":
        """Take the shares from who follows what: expectation maximisation, given the places.

        One listener who follows a language and one who does not are added to each market. A market
        of few gets what is followed everywhere, see :mod:`homerec.candidates.starts.crowds`.

        Parameters
        ----------
        times, markets
            As in :meth:`followed`.

        References
        ----------
        Dempster, Laird, Rubin 1977, Maximum likelihood from incomplete data via the EM algorithm.
        """
        followed = np.clip(self.followed(times, markets), _SURE, 1.0 - _SURE)
        told = special.logit(followed) - special.logit(self.share[markets])
        share = self.share.copy()
        crowds = Crowds.of(np.ones(len(markets), np.bool_), markets, len(share) - 1)
        if crowds.counted.any():
            share[-1] = _share(share[-1], told[crowds.counted])
        for market, many in enumerate(crowds.markets):
            own = told[markets == market]
            share[market] = _share(share[market], own) if many else share[-1]
        return replace(self, share=share)


def _share(share: Doubles, told: Doubles) -> Doubles:
    """Find how many follow each language, by what was told of n listeners, float64 (n, m).

    That is the log of how much likelier what they started is if they follow it.
    """
    for _ in range(_STEPS):
        followed = special.expit(special.logit(share) + told)
        share = (followed.sum(axis=0) + 1.0) / (len(told) + 2.0)
    return share


@compiled
def heed(times: Any, expected: Any, amount: Any, started: Any, share: Any, foreign: float) -> None:
    """Find what languages multiply the odds of one listener by, one language after the other.

    Each gets the mean over following it and not, given the others, divided by the same mean over
    the listeners of the market: what a market starts is an average over them.

    Parameters
    ----------
    times : float64 (n_languages,)
        Logs; those at which ``expected`` was summed, and then those that were found.
    expected : float64 (n_types, n_languages + 1)
        Starts expected of the listener, by type and language, without one in the last column.
        Used up.
    amount : float64 (n_types,)
        The listener's starts.
    started : float64 (n_languages + 1,)
        The same by language.
    share : float64 (n_languages,)
    foreign : float
        As in :class:`Languages`.
    """
    n_types, n_languages = len(amount), len(times)
    total = expected[:, n_languages].copy()
    for language in range(n_languages):
        total += expected[:, language]
        expected[:, language] /= np.exp(times[language])
    for language in range(n_languages):
        follow = 1.0 / (share[language] + (1.0 - share[language]) * foreign)
        told = np.log(share[language] / (1.0 - share[language]))
        told -= started[language] * np.log(foreign)
        for kind in range(n_types):
            own = expected[kind, language]
            # What is left of the others may round to less than nothing.
            total[kind] = max(total[kind] - own * np.exp(times[language]), 0.0)
            if amount[kind] > 0.0 and own > 0.0:
                told -= amount[kind] * np.log(
                    (total[kind] + follow * own) / (total[kind] + follow * foreign * own)
                )
        probability = 1.0 / (1.0 + np.exp(-told))
        times[language] = np.log(follow * (probability + (1.0 - probability) * foreign))
        total += expected[:, language] * np.exp(times[language])

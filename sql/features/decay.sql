-- purpose : integer weights by age, so that weighted sums are exact and independent of the order of summation
-- grain   : one row per age in whole days (1 = the day before as_of)
-- key     : age_days
-- columns : fixed_1d .. fixed_60d   2^-(age / half-life) in units of 2^-30, half-lives of 1 to 60 days
--           fixed_actr              (age - 0.5)^-0.5 in units of 2^-30; age in days, taken at the middle of the day
--           Each column gives a column of that name in the table pair: the sum of card plays times their weights.
-- source  : Anderson & Schooler 1991, Reflections of the environment in memory (base-level activation, d = 0.5)
-- params  : $max_age
SELECT
    CAST(age AS INTEGER) AS age_days,
    CAST(round(1073741824 * exp(-ln(2) * age)) AS BIGINT) AS fixed_1d,
    CAST(round(1073741824 * exp(-ln(2) * age / 3)) AS BIGINT) AS fixed_3d,
    CAST(round(1073741824 * exp(-ln(2) * age / 7)) AS BIGINT) AS fixed_7d,
    CAST(round(1073741824 * exp(-ln(2) * age / 14)) AS BIGINT) AS fixed_14d,
    CAST(round(1073741824 * exp(-ln(2) * age / 60)) AS BIGINT) AS fixed_60d,
    CAST(round(1073741824 / sqrt(age - 0.5)) AS BIGINT) AS fixed_actr
FROM range(1, $max_age + 1) AS ages (age)

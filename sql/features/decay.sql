-- purpose : integer weights by age, so that decayed sums are exact and independent of the order of summation
-- grain   : one row per age in whole days (1 = the day before as_of)
-- key     : age_days
-- columns : w1, w3, w7, w14, w60   2^-(age / half-life) in units of 2^-30, half-lives of 1 to 60 days
--           w_actr         (age - 0.5)^-0.5 in units of 2^-30; age in days, taken at the middle of the day
--           day_bit        2^(age - 1) for the last 56 days, 0 for older ones: a sum of them is a set of days
-- source  : Anderson & Schooler 1991, Reflections of the environment in memory (base-level activation, d = 0.5)
-- params  : $max_age
SELECT
    CAST(age AS INTEGER) AS age_days,
    CAST(round(1073741824 * exp(-ln(2) * age)) AS BIGINT) AS w1,
    CAST(round(1073741824 * exp(-ln(2) * age / 3)) AS BIGINT) AS w3,
    CAST(round(1073741824 * exp(-ln(2) * age / 7)) AS BIGINT) AS w7,
    CAST(round(1073741824 * exp(-ln(2) * age / 14)) AS BIGINT) AS w14,
    CAST(round(1073741824 * exp(-ln(2) * age / 60)) AS BIGINT) AS w60,
    CAST(round(1073741824 / sqrt(age - 0.5)) AS BIGINT) AS w_actr,
    CASE WHEN age <= 56 THEN CAST(1 AS BIGINT) << CAST(age - 1 AS BIGINT) ELSE 0 END AS day_bit
FROM range(1, $max_age + 1) AS ages (age)

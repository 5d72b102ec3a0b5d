/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/units.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/xalloc.h"

#define US_PER_SECOND INT64_C(1000000)
#define MS_PER_DAY INT64_C(86400000)
#define TIME_MIN_DAYS INT64_C(-719528) /* 0000-01-01 */
#define TIME_MIN_MS (TIME_MIN_DAYS * MS_PER_DAY)
#define TIME_MAX_MS INT64_C(253402300799999) /* the last of the year 9999 */
#define SIZE_LIMIT_BYTES (INT64_C(1) << 53)

static const char not_a_duration[] =
	"is not a duration (a number of seconds, or a time span like \"250ms\" or \"1h 30min\")";
static const char too_long[] = "is longer than 10 years";
static const char not_a_time[] =
	"is not a time (RFC 3339 with an offset, like \"2026-11-20T10:00:00Z\")";
static const char not_a_size[] = "is not a size (a number of bytes, or one like \"10M\")";
static const char too_big[] = "is larger than 2^53 bytes";

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_spaces(const char *s)
{
	while (is_space(*s))
		s++;
	return s;
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* ---- numbers with a unit ---- */

/* "12", "1.5", ".5": digits borrowed from the text, so that they can be scaled exactly. */
struct number {
	const char *whole, *whole_end;
	const char *fraction, *fraction_end;
};

/* Returns where the number ends, NULL if there is none. */
static const char *number_scan(const char *s, struct number *ret)
{
	ret->whole = s;
	while (is_digit(*s))
		s++;
	ret->whole_end = s;
	ret->fraction = ret->fraction_end = s;
	if (*s == '.') {
		ret->fraction = ++s;
		while (is_digit(*s))
			s++;
		ret->fraction_end = s;
		if (ret->fraction == s)
			return NULL;
	}
	return s == ret->whole ? NULL : s;
}

/*
 * @number of a unit that is @scale large, rounded; -1 if that is above @max.
 * Digits behind the point are taken from the right, each step with three
 * more decimal places than are asked for: 10 * 1000 * @scale fits in 64 bits
 * up to a year of microseconds and a tebibyte.
 */
static int64_t number_scale(const struct number *number, int64_t scale, int64_t max)
{
	int64_t value = 0, part = 0;

	for (const char *p = number->whole; p < number->whole_end; p++) {
		value = value * 10 + (*p - '0');
		if (value > max / scale)
			return -1;
	}
	for (const char *p = number->fraction_end; p > number->fraction; p--)
		part = ((p[-1] - '0') * scale * 1000 + part) / 10;
	value = value * scale + (part + 500) / 1000;
	return value > max ? -1 : value;
}

/* ---- durations ---- */

static const struct {
	const char *name;
	int64_t us;
} duration_units[] = {
	{ "s", US_PER_SECOND },
	{ "sec", US_PER_SECOND },
	{ "second", US_PER_SECOND },
	{ "seconds", US_PER_SECOND },
	{ "ms", 1000 },
	{ "msec", 1000 },
	{ "us", 1 },
	{ "usec", 1 },
	{ "\xc2\xb5s", 1 }, /* micro sign */
	{ "\xce\xbcs", 1 }, /* Greek mu */
	{ "m", 60 * US_PER_SECOND },
	{ "min", 60 * US_PER_SECOND },
	{ "minute", 60 * US_PER_SECOND },
	{ "minutes", 60 * US_PER_SECOND },
	{ "h", 3600 * US_PER_SECOND },
	{ "hr", 3600 * US_PER_SECOND },
	{ "hour", 3600 * US_PER_SECOND },
	{ "hours", 3600 * US_PER_SECOND },
	{ "d", 86400 * US_PER_SECOND },
	{ "day", 86400 * US_PER_SECOND },
	{ "days", 86400 * US_PER_SECOND },
	{ "w", 7 * 86400 * US_PER_SECOND },
	{ "week", 7 * 86400 * US_PER_SECOND },
	{ "weeks", 7 * 86400 * US_PER_SECOND },
	{ "M", 2629800 * US_PER_SECOND },
	{ "month", 2629800 * US_PER_SECOND },
	{ "months", 2629800 * US_PER_SECOND },
	{ "y", 31557600 * US_PER_SECOND },
	{ "year", 31557600 * US_PER_SECOND },
	{ "years", 31557600 * US_PER_SECOND },
};

static bool is_unit_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* The unit at *@s, which moves behind it; 0 if there is none or it is unknown. */
static int64_t take_duration_unit(const char **s)
{
	const char *start = *s;
	size_t len = 0;

	while (is_unit_char(start[len]))
		len++;
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(*duration_units); i++) {
		const char *name = duration_units[i].name;

		if (strlen(name) == len && memcmp(name, start, len) == 0) {
			*s += len;
			return duration_units[i].us;
		}
	}
	return 0;
}

int duration_parse(const char *text, int64_t *ret_us, const char **ret_why)
{
	const char *s = skip_spaces(text);
	int64_t sum = 0;

	if (!*s)
		return refuse(ret_why, "is empty; a duration is expected");
	if (*s == '-')
		return refuse(ret_why, "is negative");
	if (strncmp(s, "infinity", 8) == 0 && !*skip_spaces(s + 8))
		return refuse(ret_why, "must be finite");
	while (*s) {
		struct number number;
		int64_t unit, part;

		s = number_scan(s, &number);
		if (!s)
			return refuse(ret_why, not_a_duration);
		s = skip_spaces(s);
		/* A bare number is seconds, but only as the last: "1 30min" is a slip. */
		unit = *s ? take_duration_unit(&s) : US_PER_SECOND;
		if (unit == 0)
			return refuse(ret_why, not_a_duration);
		part = number_scale(&number, unit, JOB_DURATION_MAX_US);
		if (part < 0 || part > JOB_DURATION_MAX_US - sum)
			return refuse(ret_why, too_long);
		sum += part;
		s = skip_spaces(s);
	}
	*ret_us = sum;
	return 0;
}

int duration_from_json(const json_t *value, int64_t *ret_us, const char **ret_why)
{
	if (json_is_string(value)) {
		const char *text = json_string_value(value);

		if (strlen(text) != json_string_length(value))
			return refuse(ret_why, not_a_duration);
		return duration_parse(text, ret_us, ret_why);
	}
	if (json_is_integer(value)) {
		json_int_t seconds = json_integer_value(value);

		if (seconds < 0)
			return refuse(ret_why, "is negative");
		if (seconds > JOB_DURATION_MAX_US / US_PER_SECOND)
			return refuse(ret_why, too_long);
		*ret_us = seconds * US_PER_SECOND;
		return 0;
	}
	if (json_is_real(value)) {
		double us = json_real_value(value) * (double)US_PER_SECOND;

		if (us < 0)
			return refuse(ret_why, "is negative");
		/* Also false for what is no number; the range first, then the conversion (R4.6). */
		if (!(us <= (double)JOB_DURATION_MAX_US))
			return refuse(ret_why, too_long);
		*ret_us = (int64_t)(us + 0.5);
		return 0;
	}
	return refuse(ret_why, not_a_duration);
}

json_t *duration_to_json(int64_t us)
{
	if (us % US_PER_SECOND == 0)
		return xjson(json_integer(us / US_PER_SECOND));
	return xjson(json_real((double)us / (double)US_PER_SECOND));
}

/* @value / @scale with as many decimal places as it takes (@scale is a power of ten). */
static void add_decimal(struct buf *b, int64_t value, int64_t scale)
{
	int64_t rest = value % scale;

	buf_addi(b, value / scale);
	if (rest)
		buf_addc(b, '.');
	while (rest) {
		scale /= 10;
		buf_addc(b, (char)('0' + rest / scale));
		rest %= scale;
	}
}

void duration_format(int64_t us, struct buf *b)
{
	static const struct {
		const char *name;
		int64_t us;
	} large[] = {
		{ "d", 86400 * US_PER_SECOND },
		{ "h", 3600 * US_PER_SECOND },
		{ "min", 60 * US_PER_SECOND },
	};
	size_t start;

	if (us < 0)
		buf_addc(b, '-');
	/* The least int64_t has no positive: nothing shows that microsecond. */
	us = us == INT64_MIN ? INT64_MAX : us < 0 ? -us : us;
	start = b->len;
	for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++) {
		if (us < large[i].us)
			continue;
		if (b->len > start)
			buf_addc(b, ' ');
		buf_addi(b, us / large[i].us);
		buf_adds(b, large[i].name);
		us %= large[i].us;
	}
	if (us == 0 && b->len > start)
		return;
	if (b->len > start)
		buf_addc(b, ' ');
	if (us >= US_PER_SECOND || us == 0 || b->len > start) {
		add_decimal(b, us, US_PER_SECOND);
		buf_addc(b, 's');
	} else if (us >= 1000) {
		add_decimal(b, us, 1000);
		buf_adds(b, "ms");
	} else {
		buf_addi(b, us);
		buf_adds(b, "us");
	}
}

/* ---- times ---- */

/* @n digits at *@s, which moves behind them; -1 if they are not there. */
static int take_digits(const char **s, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (!is_digit((*s)[i]))
			return -1;
		value = value * 10 + ((*s)[i] - '0');
	}
	*s += n;
	return value;
}

static bool take_char(const char **s, const char *any_of)
{
	if (!**s || !strchr(any_of, **s))
		return false;
	(*s)++;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : days[month - 1];
}

/*
 * Days since 1970-01-01, Gregorian; years begin in March, so that a leap day is the last.
 * Counted from 400 years, an era, before the year 0, so that no division is of something negative.
 */
#define ERA_YEARS 400
#define ERA_DAYS 146097
#define EPOCH_DAYS (719468 + ERA_DAYS)

static int64_t days_from_date(int year, int month, int day)
{
	int y = ERA_YEARS + (month <= 2 ? year - 1 : year);
	int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - EPOCH_DAYS;
}

static void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t d = days + EPOCH_DAYS;
	int64_t era = d / ERA_DAYS, of_era = d % ERA_DAYS;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	*ret_day = (int)(of_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (int)(year + (era - 1) * ERA_YEARS + (*ret_month <= 2));
}

/* "Z" or "+01:00" at *@s.  False if neither is there. */
static bool take_offset(const char **s, int *ret_minutes)
{
	bool is_west = **s == '-';
	int hour, minute;

	*ret_minutes = 0;
	if (take_char(s, "Zz"))
		return true;
	if (!take_char(s, "+-"))
		return false;
	hour = take_digits(s, 2);
	if (hour < 0 || hour > 23 || !take_char(s, ":"))
		return false;
	minute = take_digits(s, 2);
	if (minute < 0 || minute > 59)
		return false;
	*ret_minutes = (hour * 60 + minute) * (is_west ? -1 : 1);
	return true;
}

/* A fraction of a second behind its point, cut to milliseconds; -1 if it has no digits. */
static int take_fraction_ms(const char **s)
{
	int ms = 0, weight = 100;

	if (!is_digit(**s))
		return -1;
	for (; is_digit(**s); (*s)++) {
		ms += (**s - '0') * weight;
		weight /= 10;
	}
	return ms;
}

static bool take_date(const char **s, int64_t *ret_days)
{
	int year, month, day;

	year = take_digits(s, 4);
	if (year < 0 || !take_char(s, "-"))
		return false;
	month = take_digits(s, 2);
	if (month < 1 || month > 12 || !take_char(s, "-"))
		return false;
	day = take_digits(s, 2);
	if (day < 1 || day > days_in_month(year, month))
		return false;
	*ret_days = days_from_date(year, month, day);
	return true;
}

static bool take_clock(const char **s, int64_t *ret_ms)
{
	int hour, minute, second, ms = 0;

	hour = take_digits(s, 2);
	if (hour < 0 || hour > 23 || !take_char(s, ":"))
		return false;
	minute = take_digits(s, 2);
	if (minute < 0 || minute > 59 || !take_char(s, ":"))
		return false;
	second = take_digits(s, 2);
	if (second < 0 || second > 59)
		return false;
	if (take_char(s, "."))
		ms = take_fraction_ms(s);
	*ret_ms = ((hour * 60 + minute) * 60 + second) * INT64_C(1000) + ms;
	return ms >= 0;
}

int time_parse(const char *text, int64_t *ret_ms, const char **ret_why)
{
	const char *s = text;
	int64_t days, clock_ms, ms;
	int offset_minutes;

	if (!take_date(&s, &days) || !take_char(&s, "Tt ") || !take_clock(&s, &clock_ms))
		return refuse(ret_why, not_a_time);
	if (!*s)
		return refuse(ret_why, "has no offset from UTC (\"Z\", or one like \"+01:00\")");
	if (!take_offset(&s, &offset_minutes) || *s)
		return refuse(ret_why, not_a_time);
	ms = days * MS_PER_DAY + clock_ms - offset_minutes * INT64_C(60000);
	if (ms < TIME_MIN_MS || ms > TIME_MAX_MS)
		return refuse(ret_why, "is not in the years 0 to 9999");
	*ret_ms = ms;
	return 0;
}

static char *put_digits(char *out, int value, int n)
{
	for (int i = n; i-- > 0; value /= 10)
		out[i] = (char)('0' + value % 10);
	return out + n;
}

void time_format(int64_t ms, char out[TIME_TEXT_BYTES])
{
	int year, month, day, of_day;
	char *p = out;

	ms = ms < TIME_MIN_MS ? TIME_MIN_MS : ms > TIME_MAX_MS ? TIME_MAX_MS : ms;
	of_day = (int)((ms - TIME_MIN_MS) % MS_PER_DAY);
	date_from_days((ms - of_day) / MS_PER_DAY, &year, &month, &day);
	p = put_digits(p, year, 4);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, day, 2);
	*p++ = 'T';
	p = put_digits(p, of_day / 3600000, 2);
	*p++ = ':';
	p = put_digits(p, of_day / 60000 % 60, 2);
	*p++ = ':';
	p = put_digits(p, of_day / 1000 % 60, 2);
	*p++ = '.';
	p = put_digits(p, of_day % 1000, 3);
	*p++ = 'Z';
	*p = '\0';
}

/* ---- sizes ---- */

int size_parse(const char *text, int64_t *ret_bytes, const char **ret_why)
{
	static const char letters[] = "KMGTkmgt";
	const char *s = skip_spaces(text), *letter;
	int64_t unit = 1, value;
	struct number number;

	if (*s == '-')
		return refuse(ret_why, "is negative");
	s = number_scan(s, &number);
	if (!s)
		return refuse(ret_why, not_a_size);
	s = skip_spaces(s);
	letter = *s ? strchr(letters, *s) : NULL;
	if (letter) {
		unit = INT64_C(1) << 10 * ((letter - letters) % 4 + 1);
		s++;
		if (*s == 'i' && s[1] == 'B')
			s++;
	}
	if (*s == 'B')
		s++;
	if (*skip_spaces(s))
		return refuse(ret_why, not_a_size);
	if (unit == 1 && number.fraction != number.fraction_end)
		return refuse(ret_why, "is not a whole number of bytes");
	value = number_scale(&number, unit, SIZE_LIMIT_BYTES);
	if (value < 0)
		return refuse(ret_why, too_big);
	*ret_bytes = value;
	return 0;
}

int size_from_json(const json_t *value, int64_t *ret_bytes, const char **ret_why)
{
	if (json_is_string(value)) {
		const char *text = json_string_value(value);

		if (strlen(text) != json_string_length(value))
			return refuse(ret_why, not_a_size);
		return size_parse(text, ret_bytes, ret_why);
	}
	if (!json_is_integer(value))
		return refuse(ret_why, not_a_size);
	if (json_integer_value(value) < 0)
		return refuse(ret_why, "is negative");
	if (json_integer_value(value) > SIZE_LIMIT_BYTES)
		return refuse(ret_why, too_big);
	*ret_bytes = json_integer_value(value);
	return 0;
}

void size_format(int64_t bytes, struct buf *b)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes < 0 ? -(double)bytes : (double)bytes;
	size_t unit = 0;
	int tenths;

	if (bytes < 0)
		buf_addc(b, '-');
	/* Not 1024: what would round to "1024.0 KiB" is "1.0 MiB". */
	while (value >= (unit ? 1023.95 : 1024) && unit < sizeof(units) / sizeof(*units) - 1) {
		value /= 1024;
		unit++;
	}
	tenths = (int)(value * 10 + 0.5);
	if (unit == 0)
		buf_addi(b, (int64_t)value);
	else
		buf_addf(b, "%d.%d", tenths / 10, tenths % 10);
	buf_addc(b, ' ');
	buf_adds(b, units[unit]);
}

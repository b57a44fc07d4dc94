/* What a client understands of an answer: JSON, read in place.
 *
 * Independent of src/wire/json, which wrote the text, and strict: a text that is not well-formed,
 * repeats a member, or holds a NUL is refused. It allocates nothing, since every message of every
 * run comes through here.
 *
 * Thread: one.  Memory: none; there is one table, so a text is good until the next is read. */
#ifndef SIM_VALUE_H
#define SIM_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_type {
    VALUE_NULL,
    VALUE_FALSE,
    VALUE_TRUE,
    VALUE_NUMBER, /* whole, from 0 to 2^64-1 */
    VALUE_OTHER,  /* any other number */
    VALUE_TEXT,
    VALUE_ARRAY,
    VALUE_OBJECT, /* names and values by turns */
};

struct value {
    enum value_type type;
    unsigned span; /* how many entries of the table it takes, itself included */
    uint64_t size; /* a text's, or how many an array or object has */
    union {
        uint64_t number;
        const char *text; /* ends with NUL */
    };
};

/* Reads a text and writes into it: what was escaped is unescaped, and texts end with NUL. NULL: it
 * is bad. */
const struct value *value_read(uint8_t *text, size_t size);
/* NULL: there is none, or `object` is NULL or no object. */
const struct value *value_member(const struct value *object, const char *name);
/* These allow NULL and other types: 0, NULL, false. */
uint64_t value_number(const struct value *value);
const char *value_text(const struct value *value);
bool value_is_true(const struct value *value);
size_t value_count(const struct value *array);
/* The elements: `before` NULL for the first; NULL: no more. */
const struct value *value_next(const struct value *array, const struct value *before);

#endif

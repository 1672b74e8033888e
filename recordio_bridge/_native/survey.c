/* What many Examples hold, one look at each: the kinds and numbers of the values of every key (see example.Survey). */
#include "wire.h"

#include <string.h>

/* ---- keys, found by a table of hashes: there may be thousands, in another order in every record ---- */

enum { EMPTY = -1 };

static uint32_t hash_of(const uint8_t *name, int64_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (int64_t i = 0; i < length; i++)
        hash = (hash ^ name[i]) * 16777619u;
    return hash ^ hash >> 15; /* the low bits pick the slot */
}

static int is_key(const struct rb_key *key, const uint8_t *name, int64_t length) {
    return key->length == length && memcmp(key->name, name, (size_t)length) == 0;
}

/* The slot of a name: the one that has its index, or the empty one where it belongs. */
static int64_t find_slot(const struct rb_survey *survey, const uint8_t *name, int64_t length) {
    int64_t slot = hash_of(name, length) & (survey->num_slots - 1);
    while (survey->slots[slot] != EMPTY && !is_key(&survey->keys[survey->slots[slot]], name, length))
        slot = (slot + 1) & (survey->num_slots - 1);
    return slot;
}

int rb_survey_keys(const struct rb_survey *survey) {
    for (int64_t slot = 0; slot < survey->num_slots; slot++)
        survey->slots[slot] = EMPTY;
    for (int k = 0; k < survey->num_keys; k++) {
        int64_t slot = find_slot(survey, survey->keys[k].name, survey->keys[k].length);
        if (survey->slots[slot] != EMPTY)
            return -1;
        survey->slots[slot] = k;
    }
    return 0;
}

/* The index of a key, or EMPTY; `likely` is tried first, as writers keep one order of keys. */
static int find_key(const struct rb_survey *survey, int likely, struct span key) {
    int64_t length = key.end - key.at;
    if (likely < survey->num_keys && is_key(&survey->keys[likely], key.at, length))
        return likely;
    return survey->slots[find_slot(survey, key.at, length)];
}

/* ---- one record ---- */

struct record {
    int num_found; /* keys with an entry: their indices are found[0..].key, their values found[key].value */
    int64_t num_unknown;
    const uint8_t *at; /* where a fault is */
};

/* Note the entries of one Features message; return a fault. The last one of a key counts. */
static int find_entries(struct rb_survey *survey, struct span features, const uint8_t *base, struct record *record) {
    struct span entry, key, value;
    int likely = 0, next;
    while (record->at = features.at, (next = next_message(&features, 1, &entry)) > 0) {
        record->at = entry.at;
        int fault = read_entry(entry, &key, &value);
        if (fault)
            return fault;
        int k = find_key(survey, likely, key);
        if (k == EMPTY) {
            if (record->num_unknown < survey->most_unknown) {
                survey->unknown_starts[record->num_unknown] = key.at - base;
                survey->unknown_lengths[record->num_unknown++] = key.end - key.at;
            }
            continue;
        }
        struct rb_found *found = &survey->found[k];
        if (!found->start)
            survey->found[record->num_found++].key = k;
        else {
            record->at = found->start;
            if ((fault = check_replaced(found->start, found->end - found->start)))
                return fault;
        }
        found->start = value.at;
        found->end = value.end;
        likely = k + 1;
    }
    return next < 0 ? RB_BAD_MESSAGE : RB_OK;
}

/* Count the values of the features found; return a fault, with the key that has it, and in *value the kind found. */
static int count_found(struct rb_survey *survey, int num_found, int *key, int64_t *value) {
    for (int i = 0; i < num_found; i++) {
        int k = survey->found[i].key;
        struct rb_found *found = &survey->found[k];
        int fault = count_feature((struct span){found->start, found->end}, &found->kind, &found->count);
        int64_t before = survey->seen[k].kind;
        if (!fault && found->kind != RB_NO_KIND && before != RB_NO_KIND && found->kind != before)
            fault = RB_OTHER_KIND;
        if (fault) {
            *key = k;
            *value = found->kind;
            return fault;
        }
    }
    return RB_OK;
}

static void note_found(struct rb_survey *survey, int num_found) {
    for (int i = 0; i < num_found; i++) {
        int k = survey->found[i].key;
        const struct rb_found *found = &survey->found[k];
        struct rb_seen *seen = &survey->seen[k];
        if (found->kind == RB_NO_KIND)
            continue;
        seen->kind = found->kind;
        if (seen->rows++ == 0)
            seen->fewest = seen->most = found->count;
        else if (found->count < seen->fewest)
            seen->fewest = found->count;
        else if (found->count > seen->most)
            seen->most = found->count;
    }
}

/* Look at one record; note it whole, or not at all where there is a fault. */
static int survey_record(struct rb_survey *survey, struct span example, const uint8_t *base, int *key, int64_t *value) {
    struct record record = {0, 0, example.at};
    struct span features;
    int next = 0, fault = RB_OK;
    *key = -1;
    while (!fault && (record.at = example.at, next = next_message(&example, 1, &features)) > 0)
        fault = find_entries(survey, features, base, &record);
    if (!fault && next < 0)
        fault = RB_BAD_MESSAGE;
    *value = record.at - base;
    if (!fault && record.num_unknown > 0) {
        fault = RB_UNKNOWN_KEY;
        *value = record.num_unknown;
    }
    if (!fault)
        fault = count_found(survey, record.num_found, key, value);
    if (!fault)
        note_found(survey, record.num_found);
    for (int i = 0; i < record.num_found; i++)
        survey->found[survey->found[i].key].start = NULL;
    return fault;
}

int64_t rb_survey_features(const struct rb_spans *payloads, int64_t rows, struct rb_survey *survey, int *fault, int *key,
                           int64_t *value) {
    *fault = RB_OK;
    *key = -1;
    *value = 0;
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *payload = payloads->base + payloads->starts[row];
        struct span example = {payload, payload + payloads->lengths[row]};
        *fault = survey_record(survey, example, payloads->base, key, value);
        if (*fault)
            return row;
        *value = 0;
    }
    return rows;
}

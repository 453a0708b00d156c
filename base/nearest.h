/* SPDX-License-Identifier: MIT
 *
 * What a word that is not known may have been meant to be.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

/* The word of the NULL-ended list nearest to `word`, or NULL where none is near. */
const char *nearest_word(const char *word, const char *const *words);

#endif

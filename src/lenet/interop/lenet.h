/* LeNet-5 for images of 28 x 28 pixels.

   An image is 28 rows of 28 bytes, from 0 (background) to 255 (ink). The functions allocate no memory and keep no
   state, so threads may call them at the same time. They need about 12 KB of stack. */
#ifndef LENET_lenet_H
#define LENET_lenet_H

#include "generated.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The names of the classes, in UTF-8. */
extern const char *const lenet_class_names[lenet_CLASSES];

/* Return the most probable class, from 0 to lenet_CLASSES - 1. */
int lenet_predict(const unsigned char image[784]);

/* Compute the probability of each class. */
void lenet_probabilities(const unsigned char image[784], float probabilities[lenet_CLASSES]);

/* Compute the output layer's sums, before softmax. */
void lenet_logits(const unsigned char image[784], float logits[lenet_CLASSES]);

#ifdef __cplusplus
}
#endif

#endif

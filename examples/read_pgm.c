/* Read a digit without Python. In a shell:

       lenet export mnist digits.c          (writes digits.c and digits.h)
       cc -O2 -o read_pgm read_pgm.c digits.c -lm
       ./read_pgm < three.pgm               (binary PGM, 28x28 pixels, light ink on a dark background)
*/
#include "digits.h"

#include <stdio.h>

int main(void)
{
    unsigned char image[784];
    float probabilities[digits_CLASSES];
    int width, height, highest, digit;

    if (scanf("P5 %d %d %d", &width, &height, &highest) != 3 || width != 28 || height != 28 || highest != 255
        || getchar() == EOF || fread(image, 1, sizeof image, stdin) != sizeof image) {
        fprintf(stderr, "read_pgm: expected a binary PGM picture of 28x28 pixels, 8 bits each, on the standard input.\n");
        return 1;
    }
    digit = digits_predict(image);
    digits_probabilities(image, probabilities);
    printf("%d (%.1f%%)\n", digit, 100.0 * (double)probabilities[digit]);
    return 0;
}

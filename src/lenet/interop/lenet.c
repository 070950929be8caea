/* LeNet-5 in C99. lenet.h documents the functions. Of the C library, they use expf and sqrtf only. */
#include "lenet.h"

#include <math.h>

#include "generated.h"

#if lenet_CLASSES != OUTPUT_UNITS
#error "lenet.h belongs to a network with another number of classes. Export both files again."
#endif

#define PADDED_SIDE (INPUT_SIDE + 2 * PADDING)

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Convolve in[channels][side][side], apply the sigmoid, and average each window of 2 x 2. */
static void convolve_and_pool(const float *in, int channels, int side, const float *weight, const float *bias, int maps,
                              float *out)
{
    const int pooled = (side - KERNEL + 1) / 2;
    for (int map = 0; map < maps; map++) {
        const float *kernel = weight + map * channels * KERNEL * KERNEL;
        for (int y = 0; y < pooled; y++) {
            for (int x = 0; x < pooled; x++) {
                float total = 0.0f;
                for (int part = 0; part < 4; part++) {
                    const float *corner = in + (2 * y + part / 2) * side + 2 * x + part % 2;
                    float sum = bias[map];
                    for (int channel = 0; channel < channels; channel++)
                        for (int i = 0; i < KERNEL; i++)
                            for (int j = 0; j < KERNEL; j++)
                                sum += kernel[(channel * KERNEL + i) * KERNEL + j] *
                                       corner[(channel * side + i) * side + j];
                    total += sigmoid(sum);
                }
                *out++ = 0.25f * total;
            }
        }
    }
}

static void dense(const float *in, int inputs, const float *weight, const float *bias, int outputs, float *out)
{
    for (int k = 0; k < outputs; k++) {
        float sum = bias[k];
        for (int i = 0; i < inputs; i++)
            sum += weight[k * inputs + i] * in[i];
        out[k] = sum;
    }
}

static void sigmoids(float *values, int count)
{
    for (int i = 0; i < count; i++)
        values[i] = sigmoid(values[i]);
}

/* A pixel from 0 to 255 enters the network as (pixel - mean) * scale. */
static void standardisation(const unsigned char *image, float *mean, float *scale)
{
#ifdef EPSILON
    const int count = INPUT_SIDE * INPUT_SIDE;
    long sum = 0;
    float squares = 0.0f;
    for (int i = 0; i < count; i++)
        sum += image[i];
    *mean = (float)sum / (float)count;
    for (int i = 0; i < count; i++)
        squares += ((float)image[i] - *mean) * ((float)image[i] - *mean);
    *scale = 1.0f / sqrtf(squares / (float)count + 255.0f * 255.0f * EPSILON);
#else
    (void)image;
    *mean = 255.0f * MEAN;
    *scale = SCALE / 255.0f;
#endif
}

void lenet_logits(const unsigned char image[784], float logits[lenet_CLASSES])
{
    float padded[PADDED_SIDE * PADDED_SIDE] = {0.0f};
    float s2[S2_MAPS * S2_SIDE * S2_SIDE], s4[S4_MAPS * S4_SIDE * S4_SIDE], c5[C5_UNITS], f6[F6_UNITS];
    float mean, scale;
    standardisation(image, &mean, &scale);
    for (int y = 0; y < INPUT_SIDE; y++)
        for (int x = 0; x < INPUT_SIDE; x++)
            padded[(y + PADDING) * PADDED_SIDE + x + PADDING] = ((float)image[y * INPUT_SIDE + x] - mean) * scale;
    convolve_and_pool(padded, 1, PADDED_SIDE, C1_WEIGHT, C1_BIAS, C1_MAPS, s2);
    convolve_and_pool(s2, C1_MAPS, S2_SIDE, C3_WEIGHT, C3_BIAS, C3_MAPS, s4);
    dense(s4, S4_MAPS * S4_SIDE * S4_SIDE, C5_WEIGHT, C5_BIAS, C5_UNITS, c5); /* the kernel of C5 covers all of S4 */
    sigmoids(c5, C5_UNITS);
    dense(c5, C5_UNITS, F6_WEIGHT, F6_BIAS, F6_UNITS, f6);
    sigmoids(f6, F6_UNITS);
    dense(f6, F6_UNITS, OUTPUT_WEIGHT, OUTPUT_BIAS, OUTPUT_UNITS, logits);
}

static int largest(const float values[lenet_CLASSES])
{
    int best = 0;
    for (int k = 1; k < lenet_CLASSES; k++)
        if (values[k] > values[best])
            best = k;
    return best;
}

int lenet_predict(const unsigned char image[784])
{
    float logits[lenet_CLASSES];
    lenet_logits(image, logits);
    return largest(logits);
}

void lenet_probabilities(const unsigned char image[784], float probabilities[lenet_CLASSES])
{
    float highest, total = 0.0f;
    lenet_logits(image, probabilities);
    highest = probabilities[largest(probabilities)];
    for (int k = 0; k < lenet_CLASSES; k++) {
        probabilities[k] = expf(probabilities[k] - highest);
        total += probabilities[k];
    }
    for (int k = 0; k < lenet_CLASSES; k++)
        probabilities[k] /= total;
}

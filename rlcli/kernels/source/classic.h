// The five classic-control environments, one at a time: to the last bit what rlcli/envs/array computes with
// numpy, hence every product and quotient in the same order and type; equations are explained there.
//
// Sine, cosine and power are the C library's, as numpy's are. `two` is the exponent 2, out of the compiler's
// sight: it would write x x for pow(x, 2), whose last bit may be another.
enum { CARTPOLE, ACROBOT, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS, PENDULUM, WORLDS };

#define MAX_STATE 8

typedef struct {
  int width, shown, drawn;  // numbers of a state, of an observation (its first ones), drawn at a reset
  double low[4], high[4];   // of the draws
} World;

#define TURN 6.283185307179586
#define HALF_TURN 3.141592653589793

static const World worlds[WORLDS] = {
    [CARTPOLE] = {4, 4, 4, {-0.05, -0.05, -0.05, -0.05}, {0.05, 0.05, 0.05, 0.05}},
    [ACROBOT] = {8, 6, 4, {-0.1, -0.1, -0.1, -0.1}, {0.1, 0.1, 0.1, 0.1}},
    [MOUNTAIN_CAR] = {2, 2, 1, {-0.6}, {-0.4}},
    [MOUNTAIN_CAR_CONTINUOUS] = {3, 2, 1, {-0.6}, {-0.4}},
    [PENDULUM] = {4, 3, 2, {-HALF_TURN, -1.0}, {HALF_TURN, 1.0}},
};

typedef struct {
  double setting;          // the one number that env.kwargs may change
  float low, high;         // bounds of a torque or force
  volatile double *two;
  volatile float *single_two;
} Rules;

// As numpy's maximum and minimum with a bound: NaN stays.
INLINE double held_d(double x, double low, double high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

INLINE float held_f(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

static double cartpole(double *s, int64_t action, const Rules *rules, int *terminated) {
  const double force = action ? 10.0 : -10.0, sine = sin(s[2]), cosine = cos(s[2]);
  const double push = (force + s[3] * s[3] * (0.1 * 0.5) * sine) / (0.1 + 1.0);
  const double pole = (sine * 9.8 - cosine * push) / ((4.0 / 3.0 - cosine * cosine * 0.1 / (0.1 + 1.0)) * 0.5);
  const double cart = push - pole * (0.1 * 0.5) * cosine / (0.1 + 1.0);
  const double change[4] = {s[1] * 0.02, cart * 0.02, s[3] * 0.02, pole * 0.02};
  for (int i = 0; i < 4; i++) s[i] += change[i];
  *terminated = fabs(s[0]) > 2.4 || fabs(s[2]) > 12 * TURN / 360;
  if (rules->setting) return *terminated ? -1.0 : 0.0;
  return 1.0;
}

// Derivatives of both speeds and both angles, from those.
INLINE void acrobot_slope(const double *point, double torque, double two, double *slope) {
  const double right = HALF_TURN / 2, both = point[2] + point[3];
  const double bend = cos(point[3]), lower = cos(both - right), upper = cos(point[2] - right);
  const double sine = sin(point[3]);
  const double d1 = bend + 1.25 + 0.25 + 1.0 + 1.0, d2 = bend * 0.5 + 0.25 + 1.0;
  const double first = pow(point[0], two) * 0.5 * sine, second = pow(point[1], two) * 0.5 * sine;
  const double phi2 = lower * (0.5 * 9.8);
  const double phi1 = upper * ((0.5 + 1.0) * 9.8) - (second + point[1] * point[0] * sine) + phi2;
  const double other = (torque + d2 / d1 * phi1 - first - phi2) / (1.25 - pow(d2, two) / d1);
  slope[0] = -(d2 * other + phi1) / d1;
  slope[1] = other;
  slope[2] = point[0];
  slope[3] = point[1];
}

INLINE void moved(const double *from, const double *slope, double step, double *to) {
  for (int i = 0; i < 4; i++) to[i] = from[i] + slope[i] * step;
}

// Back to -pi .. pi, turn by turn; what is beyond all angles of this system is left alone.
INLINE double wrapped(double angle) {
  if (!(fabs(angle) < 1e6)) return angle;
  while (angle > HALF_TURN) angle -= TURN;
  while (angle < -HALF_TURN) angle += TURN;
  return angle;
}

static double acrobot(double *s, int64_t action, const Rules *rules, int *terminated) {
  const double torque = (double)action - 1.0, two = *rules->two;
  double first[4], second[4], third[4], fourth[4], point[4], *moving = s + 4;
  acrobot_slope(moving, torque, two, first);
  moved(moving, first, 0.2 / 2.0, point);
  acrobot_slope(point, torque, two, second);
  moved(moving, second, 0.2 / 2.0, point);
  acrobot_slope(point, torque, two, third);
  moved(moving, third, 0.2, point);
  acrobot_slope(point, torque, two, fourth);
  for (int i = 0; i < 4; i++)
    moving[i] += (first[i] + second[i] * 2.0 + third[i] * 2.0 + fourth[i]) * (0.2 / 6.0);
  s[6] = wrapped(s[6]);
  s[7] = wrapped(s[7]);
  s[4] = held_d(s[4], -4 * HALF_TURN, 4 * HALF_TURN);
  s[5] = held_d(s[5], -9 * HALF_TURN, 9 * HALF_TURN);
  s[0] = cos(s[6]);
  s[1] = sin(s[6]);
  s[2] = cos(s[7]);
  s[3] = sin(s[7]);
  *terminated = -s[0] - cos(s[7] + s[6]) > 1.0;
  return *terminated ? 0.0 : -1.0;
}

static double mountain_car(double *s, int64_t action, const Rules *rules, int *terminated) {
  static const double forces[3] = {-0.001, 0.0, 0.001};
  s[1] = held_d(s[1] + (forces[action] + cos(s[0] * 3.0) * -0.0025), -0.07, 0.07);
  s[0] = held_d(s[0] + s[1], -1.2, 0.6);
  if (s[0] == -1.2 && s[1] < 0.0) s[1] = 0.0;
  *terminated = s[0] >= 0.5 && s[1] >= rules->setting;
  return -1.0;
}

static double mountain_car_continuous(double *s, float action, const Rules *rules, int *terminated) {
  const float force = held_f(action, rules->low, rules->high);
  const float change = force * 0.0015f - (float)(cos(s[2]) * 0.0025);
  float speed = held_f((float)s[1] + change, -0.07f, 0.07f);
  const float place = held_f((float)(s[0] + (double)speed), -1.2f, 0.6f);
  if (place == -1.2f && speed < 0.0f) speed = 0.0f;
  *terminated = place >= 0.45f && speed >= (float)rules->setting;
  s[0] = (double)place;
  s[1] = (double)speed;
  s[2] = (double)(place * 3.0f);
  const double square = (double)force * (double)force;
  return 100.0 * *terminated - square * 0.1;
}

// x modulo y > 0, with the sign of y, as numpy's remainder.
INLINE double remainder_of(double x, double y) {
  const double rest = fmod(x, y);
  if (rest == 0) return 0.0;
  return rest < 0 ? rest + y : rest;
}

static double pendulum(double *s, float action, const Rules *rules, int *terminated) {
  const float torque = held_f(action, rules->low, rules->high);
  const double angle = remainder_of(s[3] + HALF_TURN, TURN) - HALF_TURN;
  const double cost = pow(angle, *rules->two) * 1.0 + pow(s[2], *rules->two) * 0.1;
  const double reward = -(cost + (double)(powf(torque, *rules->single_two) * 0.001f));
  const double change = (s[1] * rules->setting + (double)(torque * 3.0f)) * 0.05;
  s[2] = held_d(s[2] + change, -8.0, 8.0);
  s[3] += s[2] * 0.05;
  s[0] = cos(s[3]);
  s[1] = sin(s[3]);
  *terminated = 0;
  return reward;
}

// One step with an action, an int64 or float; the reward.
INLINE double advance(int64_t world, double *state, const void *action, const Rules *rules, int *terminated) {
  switch (world) {
    case CARTPOLE: return cartpole(state, *(const int64_t *)action, rules, terminated);
    case ACROBOT: return acrobot(state, *(const int64_t *)action, rules, terminated);
    case MOUNTAIN_CAR: return mountain_car(state, *(const int64_t *)action, rules, terminated);
    case MOUNTAIN_CAR_CONTINUOUS:
      return mountain_car_continuous(state, *(const float *)action, rules, terminated);
    default: return pendulum(state, *(const float *)action, rules, terminated);
  }
}

// Cosine and sine of |x| <= 0.1 in single precision by the polynomials of numpy, which are not the C library's.
INLINE float small_cosine(float x) {
  const float square = x * x;
  float sum = fused_f(square, 0x1.98e616p-16f, -0x1.6c06dcp-10f);
  sum = fused_f(sum, square, 0x1.55553cp-5f);
  sum = fused_f(sum, square, -0.5f);
  return fused_f(sum, square, 1.0f);
}

INLINE float small_sine(float x) {
  const float square = x * x;
  float sum = fused_f(square, 0x1.7d3bbcp-19f, -0x1.a06bbap-13f);
  sum = fused_f(sum, square, 0x1.11119ap-7f);
  sum = fused_f(sum, square, -0x1.555556p-3f);
  return fused_f(sum * square, x, x);
}

// x to single precision and back. Two casts in a row will not do: of values in one vector register, GCC 12 with AVX2
// drops them.
static double single_of(double x) {
  const volatile float single = (float)x;
  return (double)single;
}

// The state at the start of the episode with this seed.
static void begin(int64_t kind, uint32_t seed, double *s) {
  const World *world = &worlds[kind];
  double drawn[4];
  first_numbers(seed, world->drawn, drawn);
  for (int i = 0; i < world->drawn; i++) drawn[i] = world->low[i] + (world->high[i] - world->low[i]) * drawn[i];
  switch (kind) {
    case CARTPOLE:
      memcpy(s, drawn, sizeof drawn);
      break;
    case ACROBOT:
      for (int i = 0; i < 2; i++) {
        s[2 * i] = (double)small_cosine((float)drawn[i]);
        s[2 * i + 1] = (double)small_sine((float)drawn[i]);
        s[4 + i] = single_of(drawn[2 + i]);
        s[6 + i] = single_of(drawn[i]);
      }
      break;
    case PENDULUM:
      s[0] = cos(drawn[0]);
      s[1] = sin(drawn[0]);
      s[2] = drawn[1];
      s[3] = drawn[0];
      break;
    default:
      s[0] = drawn[0];
      s[1] = 0.0;
      s[2] = 3.0 * drawn[0];
  }
}

// What numpy's cosines and sines [count] in single precision are compared with, before Acrobot is begun here.
void EXPORT(small_angles)(int64_t count, const float *angles, float *cosines, float *sines) {
  for (int64_t i = 0; i < count; i++) {
    cosines[i] = small_cosine(angles[i]);
    sines[i] = small_sine(angles[i]);
  }
}

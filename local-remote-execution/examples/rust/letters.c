// Counts letters.
int examples_letters(const char* text) {
  int count = 0;
  for (; *text; ++text) count += (*text | 32) >= 'a' && (*text | 32) <= 'z';
  return count;
}

int Warns() {
  int unused;
  return 0;
}

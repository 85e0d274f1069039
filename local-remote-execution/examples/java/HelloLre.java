package examples;

/** Says which Java runs it. */
public final class HelloLre {
  private HelloLre() {}

  public static void main(String[] arguments) {
    System.out.println(Greeting.text());
  }
}

package examples;

/** Fails unless it runs on the JDK of the store. */
public final class GreetingTest {
  private GreetingTest() {}

  public static void main(String[] arguments) {
    String home = System.getProperty("java.home");
    if (!home.startsWith("/lre/store/")) {
      throw new AssertionError("runs on the JDK in " + home);
    }
    if (!Greeting.text().startsWith("Hello")) {
      throw new AssertionError(Greeting.text());
    }
  }
}

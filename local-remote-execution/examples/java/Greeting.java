package examples;

/** What the example says: a library, so that its interface is an input of what uses it. */
public final class Greeting {
  private Greeting() {}

  /** The version that compiled may differ from the one that runs: both are those of the store. */
  public static String text() {
    return "Hello, Local Remote Execution! Java " + System.getProperty("java.version");
  }
}
